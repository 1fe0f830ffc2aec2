#include "engine/storage/memory_file.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace qcow2 {

MemoryFile::MemoryFile(std::vector<std::byte> bytes, std::string name)
    : bytes_(std::move(bytes)), name_(std::move(name)) {}

absl::StatusOr<size_t> MemoryFile::Pread(uint64_t offset,
                                         std::span<std::byte> buffer) const {
  if (offset >= bytes_.size()) return 0;
  const size_t count =
      std::min<uint64_t>(buffer.size(), bytes_.size() - offset);
  std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(offset), count,
              buffer.begin());
  return count;
}

absl::Status MemoryFile::Pwrite(uint64_t offset,
                                std::span<const std::byte> data) {
  if (data.empty()) return absl::OkStatus();
  if (offset > kSizeMax || data.size() > kSizeMax - offset) {
    return absl::ErrnoToStatus(
        ENOSPC, absl::StrCat("cannot write ", data.size(), " bytes at offset ",
                             offset, " of '", name_, "'"));
  }
  if (offset + data.size() > bytes_.size()) {
    bytes_.resize(offset + data.size());
  }
  std::copy(data.begin(), data.end(),
            bytes_.begin() + static_cast<ptrdiff_t>(offset));
  return absl::OkStatus();
}

absl::Status MemoryFile::Truncate(uint64_t size) {
  if (size > kSizeMax) {
    return absl::ErrnoToStatus(
        ENOSPC,
        absl::StrCat("cannot set the length of '", name_, "' to ", size));
  }
  bytes_.resize(size);
  return absl::OkStatus();
}

absl::Status MemoryFile::PunchHole(ByteRange range) {
  if (range.offset >= bytes_.size()) return absl::OkStatus();
  const uint64_t count = std::min(range.length, bytes_.size() - range.offset);
  std::fill_n(bytes_.begin() + static_cast<ptrdiff_t>(range.offset), count,
              std::byte{0});
  return absl::OkStatus();
}

absl::StatusOr<ByteRange> MemoryFile::NextData(uint64_t offset) const {
  const uint64_t begin = std::min<uint64_t>(offset, bytes_.size());
  return ByteRange{begin, bytes_.size() - begin};
}

}  // namespace qcow2
