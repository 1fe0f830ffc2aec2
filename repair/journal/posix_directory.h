// PosixDirectory: a Directory of the system, reached through one descriptor, so
// that it stays the same folder whatever becomes of its path.
#ifndef REPAIR_JOURNAL_POSIX_DIRECTORY_H_
#define REPAIR_JOURNAL_POSIX_DIRECTORY_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"
#include "repair/journal/directory.h"

namespace qcow2::repair {

// A path as a folder and the name in it.
struct SplitPath {
  std::string directory;
  std::string name;
};

// Where `path`, an existing file, really is: with every symbolic link followed,
// so that a journal comes to lie beside the image and not beside a link to it.
absl::StatusOr<SplitPath> ResolveFile(const std::string& path);

// The folder and the name of a file that need not exist. InvalidArgument when
// `path` names no file in a folder ("", "a/", "..").
absl::StatusOr<SplitPath> SplitFilePath(const std::string& path);

class PosixDirectory : public Directory {
 public:
  static absl::StatusOr<std::unique_ptr<PosixDirectory>> Open(
      const std::string& path);

  PosixDirectory(const PosixDirectory&) = delete;
  PosixDirectory& operator=(const PosixDirectory&) = delete;
  ~PosixDirectory() override;

  std::string name() const override { return path_; }
  absl::StatusOr<std::unique_ptr<File>> CreateExclusive(
      const std::string& name) override;
  absl::StatusOr<std::unique_ptr<File>> CreateScratch() override;

  // Refuses a file that belongs to somebody else than the caller, the owner of
  // the folder or root, or that others may write: what a journal says is
  // written into the image.
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& name,
                                             OpenFor purpose) const override;
  absl::StatusOr<bool> Exists(const std::string& name) const override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& name) override;

  // OK as well where the file system has no way to flush a folder.
  absl::Status Sync() override;

 private:
  PosixDirectory(int descriptor, std::string path);

  std::string PathOf(const std::string& name) const;

  const int descriptor_;
  const std::string path_;
};

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_POSIX_DIRECTORY_H_
