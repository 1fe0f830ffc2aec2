#include "cli/fleet/input_file.h"

#include <cstddef>
#include <memory>
#include <span>

#include "engine/status_macros.h"
#include "engine/storage/posix_file.h"

namespace qcow2::cli {

absl::StatusOr<std::string> ReadInput(const std::string& path,
                                      uint64_t max_bytes) {
  ASSIGN_OR_RETURN(const std::unique_ptr<PosixFile> file,
                   PosixFile::Open(path));
  ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size > max_bytes) {
    return absl::InvalidArgumentError("'" + path +
                                      "' is too large: more than " +
                                      std::to_string(max_bytes) + " bytes");
  }
  std::string text(size, '\0');
  ASSIGN_OR_RETURN(const size_t count,
                   file->Pread(0, std::as_writable_bytes(std::span(text))));
  text.resize(count);
  return text;
}

}  // namespace qcow2::cli
