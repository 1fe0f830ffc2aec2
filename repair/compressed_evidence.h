// Whether compressed data is where a descriptor says: does it decompress to
// exactly one cluster?
//
// Reads only.
#ifndef REPAIR_COMPRESSED_EVIDENCE_H_
#define REPAIR_COMPRESSED_EVIDENCE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "checker/image_model.h"
#include "engine/codec/inflate.h"
#include "engine/format/l2_entry.h"
#include "engine/storage/file.h"

namespace qcow2::repair {

// Not thread-safe.
class CompressedEvidence {
 public:
  // Both must outlive the object.
  CompressedEvidence(const checker::ImageModel& model, const File& view);

  // Whether data of this image can be decompressed at all.
  bool possible() const { return possible_; }

  // Whether what `data` allows to be read is one cluster; what lies past the
  // end of the file counts as zeros, as it does for readers. False when it
  // cannot be read, and once too much was decompressed: then exhausted().
  bool Inflates(const CompressedDescriptor& data);

  // Whether some answers were given without looking.
  bool exhausted() const { return bytes_left_ == 0; }

  // The fewest sectors from the first byte of `data` on that are one cluster;
  // nothing if not even all of them are.
  std::optional<CompressedDescriptor> Shortest(
      const CompressedDescriptor& data);

 private:
  // Input and output of all attempts; a repair tries few of them.
  static constexpr uint64_t kMaxBytes = uint64_t{8} << 30;

  const checker::ImageModel& model_;
  const File& view_;
  const bool possible_;
  uint64_t bytes_left_ = kMaxBytes;
  Decompressor decompressor_;
  std::vector<std::byte> input_;
  std::vector<std::byte> cluster_;
};

}  // namespace qcow2::repair

#endif  // REPAIR_COMPRESSED_EVIDENCE_H_
