// Where the bytes of a guest cluster come from, as readers of the format
// understand an L2 entry: the meaning that two entries are compared by.
//
// Pure values but for SourceReader, which reads the file it is given.
#ifndef REPAIR_GUEST_SOURCE_H_
#define REPAIR_GUEST_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "checker/image_model.h"
#include "engine/codec/compression_type.h"
#include "engine/codec/inflate.h"
#include "engine/format/geometry.h"
#include "engine/format/l2_entry.h"
#include "engine/storage/file.h"

namespace qcow2::repair {

// What of an image says how its entries are read.
struct SourceRules {
  Geometry geometry;
  uint32_t version = 3;
  bool external_data_file = false;
  // What is not allocated reads from a backing file, not as zeros.
  bool has_backing = false;
  uint32_t crypt_method = 0;
  CompressionType compression = CompressionType::kDeflate;
};
// REQUIRES: model.geometry is set.
SourceRules RulesOf(const checker::ImageModel& model);

struct GuestSource {
  enum class Kind {
    kUnreadable,  // a reader gives an I/O error
    kBacking,     // not allocated, with a backing file
    kZeros,
    kHost,        // as stored at a place of the file (or the data file)
    kCompressed,  // decompressed from a place of the file
  };
  Kind kind = Kind::kZeros;
  // Of the host cluster, or the first byte of compressed data.
  uint64_t offset_bytes = 0;
  // Of compressed data.
  uint64_t length_bytes = 0;

  friend bool operator==(const GuestSource&, const GuestSource&) = default;
};

// Where subcluster `subcluster` of the entry's guest cluster comes from (0 when
// there are none). Damaged entries are taken as QEMU takes them: bits it
// ignores are ignored, what it refuses to read is unreadable.
GuestSource SourceOf(const SourceRules& rules, L2Entry entry,
                     uint32_t subcluster);

// "the host cluster at 0x50000", "zeros" ...
std::string DescribeSource(const GuestSource& source);

// Reads the guest's bytes of one cluster.
class SourceReader {
 public:
  // Both must outlive the reader.
  SourceReader(const File& file, const SourceRules& rules)
      : file_(file), rules_(rules) {}

  // Fills `buffer` with the bytes from `offset_in_cluster` on, as stored: still
  // encrypted where the image is. FailedPrecondition for a source whose bytes
  // are not in this file; otherwise the errors of reading and decompressing.
  absl::Status Read(const GuestSource& source, uint64_t offset_in_cluster,
                    std::span<std::byte> buffer);

 private:
  absl::Status ReadCompressed(const GuestSource& source,
                              uint64_t offset_in_cluster,
                              std::span<std::byte> buffer);

  const File& file_;
  const SourceRules& rules_;
  Decompressor decompressor_;
  std::vector<std::byte> stored_;
  // The cluster decompressed last: its subclusters are asked for in turn.
  std::vector<std::byte> cluster_;
  GuestSource in_cluster_;
};

}  // namespace qcow2::repair

#endif  // REPAIR_GUEST_SOURCE_H_
