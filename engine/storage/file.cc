#include "engine/storage/file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

namespace qcow2 {

absl::Status File::Allocate(ByteRange range) {
  ASSIGN_OR_RETURN(const uint64_t size, Size());
  if (range.length == 0) return absl::OkStatus();
  if (range.offset > std::numeric_limits<uint64_t>::max() - range.length) {
    return absl::ErrnoToStatus(
        EFBIG,
        absl::StrCat("cannot reserve ", range.length, " bytes at offset ",
                     range.offset, " of '", name(), "'"));
  }
  const uint64_t end = range.offset + range.length;
  return end > size ? Truncate(end) : absl::OkStatus();
}

absl::Status ReadZeroFilled(const File& file, uint64_t offset,
                            std::span<std::byte> buffer) {
  ASSIGN_OR_RETURN(const size_t read, file.Pread(offset, buffer));
  std::fill(buffer.begin() + read, buffer.end(), std::byte{0});
  return absl::OkStatus();
}

absl::Status WriteZeros(File& file, ByteRange range) {
  static constexpr std::array<std::byte, 65536> kZeros = {};
  while (range.length > 0) {
    const size_t step = std::min<uint64_t>(range.length, kZeros.size());
    RETURN_IF_ERROR(file.Pwrite(range.offset, std::span(kZeros).first(step)));
    range.offset += step;
    range.length -= step;
  }
  return absl::OkStatus();
}

}  // namespace qcow2
