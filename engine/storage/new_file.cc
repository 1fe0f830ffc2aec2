#include "engine/storage/new_file.h"

#include <fcntl.h>

#include <cerrno>

#include "engine/status_macros.h"
#include "engine/storage/system_call.h"

namespace qcow2 {
namespace {

// Who may read an image decides the user's umask.
constexpr mode_t kMode = 0666;

}  // namespace

absl::StatusOr<NewFile> OpenNewFile(const std::string& path) {
  NewFile result;
  const int descriptor = Uninterrupted([&path] {
    return open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY,
                kMode);
  });
  if (descriptor == -1 && errno != EEXIST) {
    return SystemError(errno, "cannot create", path);
  }
  if (descriptor == -1) {
    ASSIGN_OR_RETURN(result.file, PosixFile::Open(path, {.writable = true}));
  } else {
    result.created = true;
    ASSIGN_OR_RETURN(result.file,
                     PosixFile::Adopt(descriptor, path, {.writable = true}));
  }
  RETURN_IF_ERROR(result.file->Lock(kWriterLocks));
  return result;
}

}  // namespace qcow2
