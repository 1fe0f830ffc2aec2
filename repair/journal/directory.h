// Directory: the folder in which a repair keeps its journal and undo file. What
// File is to bytes this is to names, so that a test can put a simulated disk in
// its place.
//
// An interface only; posix_directory.h is the real one.
#ifndef REPAIR_JOURNAL_DIRECTORY_H_
#define REPAIR_JOURNAL_DIRECTORY_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"

namespace qcow2::repair {

enum class OpenFor { kReading, kWriting };

// One folder. Names are single components: neither empty nor with a slash in
// them. Symbolic links are never followed, and nothing but a regular file is
// ever opened or made. What was done to names is only sure to outlast a crash
// after Sync.
//
// Errors are absl::ErrnoToStatus of the failing call, with the operation and
// the path in the message.
class Directory {
 public:
  virtual ~Directory() = default;

  // What to call the folder in messages.
  virtual std::string name() const = 0;

  // Makes a new empty file that only its owner may read and write.
  // AlreadyExists when there is anything of that name, a dangling link too.
  virtual absl::StatusOr<std::unique_ptr<File>> CreateExclusive(
      const std::string& name) = 0;

  // Makes an empty file that has no name and is gone when it is closed.
  virtual absl::StatusOr<std::unique_ptr<File>> CreateScratch() = 0;

  // Opens an existing file. NotFound when there is none; FailedPrecondition
  // when it is not a regular file, or one that others could have put there.
  virtual absl::StatusOr<std::unique_ptr<File>> Open(const std::string& name,
                                                     OpenFor purpose) const = 0;

  // Whether there is anything of that name, be it a file or not.
  virtual absl::StatusOr<bool> Exists(const std::string& name) const = 0;

  // Gives the file `from` the name `to`. Never replaces: AlreadyExists when
  // there is anything called `to`.
  virtual absl::Status Rename(const std::string& from,
                              const std::string& to) = 0;

  virtual absl::Status Remove(const std::string& name) = 0;

  // Returns when every name made, changed or removed before is on stable
  // storage.
  virtual absl::Status Sync() = 0;
};

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_DIRECTORY_H_
