#include "engine/storage/file.h"

#include <algorithm>

#include "engine/status_macros.h"

namespace qcow2 {

absl::Status ReadZeroFilled(const File& file, uint64_t offset,
                            std::span<std::byte> buffer) {
  ASSIGN_OR_RETURN(const size_t read, file.Pread(offset, buffer));
  std::fill(buffer.begin() + read, buffer.end(), std::byte{0});
  return absl::OkStatus();
}

}  // namespace qcow2
