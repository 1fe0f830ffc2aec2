// Files that are written anew.
#ifndef ENGINE_STORAGE_NEW_FILE_H_
#define ENGINE_STORAGE_NEW_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/storage/posix_file.h"

namespace qcow2 {

struct NewFile {
  std::unique_ptr<PosixFile> file;
  // Whether there was none before.
  bool created = false;
};

// Opens the file at `path` to write it anew, making it if there is none. One
// that is there keeps its bytes for now, and whoever uses it keeps it: with
// everything claimed as a writer of an image claims it, Unavailable if another
// process's claims forbid that. Errors are PosixFile::Open's.
absl::StatusOr<NewFile> OpenNewFile(const std::string& path);

}  // namespace qcow2

#endif  // ENGINE_STORAGE_NEW_FILE_H_
