// An image built table by table in a sparse file, for images that claim far
// more than they hold.
//
// For tests only; writes the one file it is given.
#ifndef TESTS_HOSTILE_SPARSE_IMAGE_H_
#define TESTS_HOSTILE_SPARSE_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/format/header.h"
#include "engine/storage/posix_file.h"

namespace qcow2::hostile {

class SparseImage {
 public:
  // Makes the file `path`, empty but for what is written later.
  static absl::StatusOr<SparseImage> Create(const std::string& path,
                                            uint32_t cluster_bits);

  // Written by Finish(). Of version 3, with 16-bit refcounts, no disk and
  // neither L1 nor refcount table.
  Header header;

  uint64_t cluster_size() const { return uint64_t{1} << header.cluster_bits; }
  uint64_t OffsetOf(uint64_t cluster) const {
    return cluster << header.cluster_bits;
  }
  // The L1 table at `cluster`, with `entries` entries: `entry(i)` is entry i.
  // The disk is as large as they can map.
  void SetL1(uint64_t cluster, uint64_t entries,
             const std::function<uint64_t(uint64_t)>& entry);
  // The refcount table at `cluster`, with entry(i) for every entry.
  void SetRefcountTable(uint64_t cluster, uint64_t clusters,
                        const std::function<uint64_t(uint64_t)>& entry);
  // A header extension at the header's end, in front of the end marker.
  void AddExtension(uint32_t type, std::span<const std::byte> data);

  void Write(uint64_t offset, std::span<const std::byte> bytes);
  // `count` words, 8 bytes each and big-endian, from `offset` on; zeros are
  // left out, so that they take no space.
  void WriteWords(uint64_t offset, uint64_t count,
                  const std::function<uint64_t(uint64_t)>& word);
  // Bytes `byte` all over [offset, offset + length).
  void Fill(uint64_t offset, uint64_t length, std::byte byte);

  // Writes the header and sets the file's length (not below what was written).
  // Tells of the first thing that went wrong since Create().
  absl::Status Finish(uint64_t file_size);

 private:
  explicit SparseImage(std::unique_ptr<PosixFile> file)
      : file_(std::move(file)) {}

  std::unique_ptr<PosixFile> file_;
  absl::Status status_;
  uint64_t extensions_end_ = kHeaderLengthKnown;
};

}  // namespace qcow2::hostile

#endif  // TESTS_HOSTILE_SPARSE_IMAGE_H_
