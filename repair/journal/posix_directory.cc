#include "repair/journal/posix_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/storage/posix_file.h"
#include "engine/storage/system_call.h"

namespace qcow2::repair {
namespace {

constexpr mode_t kOwnerOnly = S_IRUSR | S_IWUSR;

bool IsSingleName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

absl::Status CheckName(const std::string& name) {
  if (IsSingleName(name)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("'", name, "' is not the name of a file in a folder"));
}

// Whether what is in the file can be trusted to come from whoever may change
// the folder anyway.
absl::Status CheckTrust(int descriptor, int directory,
                        const std::string& path) {
  struct stat file;
  struct stat folder;
  if (fstat(descriptor, &file) != 0 || fstat(directory, &folder) != 0) {
    return SystemError(errno, "cannot look at", path);
  }
  if (!S_ISREG(file.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("'", path, "' is not a regular file"));
  }
  if ((file.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "'", path, "' can be written by others than its owner: not used"));
  }
  if (file.st_uid != geteuid() && file.st_uid != 0 &&
      file.st_uid != folder.st_uid) {
    return absl::FailedPreconditionError(absl::StrCat(
        "'", path, "' belongs to another user (", file.st_uid, "): not used"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SplitPath> SplitFilePath(const std::string& path) {
  const size_t slash = path.rfind('/');
  SplitPath split;
  if (slash == std::string::npos) {
    split = {.directory = ".", .name = path};
  } else {
    split = {.directory = slash == 0 ? "/" : path.substr(0, slash),
             .name = path.substr(slash + 1)};
  }
  if (!IsSingleName(split.name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "' does not name a file"));
  }
  return split;
}

absl::StatusOr<SplitPath> ResolveFile(const std::string& path) {
  char* const resolved = realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return SystemError(errno, "cannot find", path);
  const std::string copy = resolved;
  free(resolved);
  return SplitFilePath(copy);
}

absl::StatusOr<std::unique_ptr<PosixDirectory>> PosixDirectory::Open(
    const std::string& path) {
  const int descriptor = Uninterrupted(
      [&] { return open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (descriptor == -1) return SystemError(errno, "cannot open folder", path);
  return std::unique_ptr<PosixDirectory>(new PosixDirectory(descriptor, path));
}

PosixDirectory::PosixDirectory(int descriptor, std::string path)
    : descriptor_(descriptor), path_(std::move(path)) {}

PosixDirectory::~PosixDirectory() { close(descriptor_); }

std::string PosixDirectory::PathOf(const std::string& name) const {
  return absl::StrCat(path_, path_.ends_with('/') ? "" : "/", name);
}

absl::StatusOr<std::unique_ptr<File>> PosixDirectory::CreateExclusive(
    const std::string& name) {
  RETURN_IF_ERROR(CheckName(name));
  const int descriptor = Uninterrupted([&] {
    return openat(descriptor_, name.c_str(),
                  O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                  kOwnerOnly);
  });
  if (descriptor == -1) {
    return SystemError(errno, "cannot create", PathOf(name));
  }
  return PosixFile::Adopt(descriptor, PathOf(name), {.writable = true});
}

absl::StatusOr<std::unique_ptr<File>> PosixDirectory::CreateScratch() {
  const std::string path = PathOf("(scratch file)");
  int descriptor = Uninterrupted([&] {
    return openat(descriptor_, ".", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC,
                  kOwnerOnly);
  });
  // File systems without nameless files: one with a name that is gone at once.
  constexpr int kAttempts = 100;
  for (int i = 0; i < kAttempts && descriptor == -1; ++i) {
    const std::string name =
        absl::StrCat(".qcow2-fsck-scratch-", getpid(), "-", i);
    descriptor = Uninterrupted([&] {
      return openat(descriptor_, name.c_str(),
                    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    kOwnerOnly);
    });
    if (descriptor == -1 && errno != EEXIST) break;
    if (descriptor != -1) unlinkat(descriptor_, name.c_str(), 0);
  }
  if (descriptor == -1) return SystemError(errno, "cannot create", path);
  return PosixFile::Adopt(descriptor, path, {.writable = true});
}

absl::StatusOr<std::unique_ptr<File>> PosixDirectory::Open(
    const std::string& name, OpenFor purpose) const {
  RETURN_IF_ERROR(CheckName(name));
  // O_NONBLOCK: a FIFO of that name must not make us wait.
  const int flags = (purpose == OpenFor::kWriting ? O_RDWR : O_RDONLY) |
                    O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  const int descriptor =
      Uninterrupted([&] { return openat(descriptor_, name.c_str(), flags); });
  if (descriptor == -1) {
    if (errno == ELOOP) {
      return absl::FailedPreconditionError(
          absl::StrCat("'", PathOf(name), "' is a symbolic link: not used"));
    }
    return SystemError(errno, "cannot open", PathOf(name));
  }
  if (absl::Status trust = CheckTrust(descriptor, descriptor_, PathOf(name));
      !trust.ok()) {
    close(descriptor);
    return trust;
  }
  return PosixFile::Adopt(descriptor, PathOf(name),
                          {.writable = purpose == OpenFor::kWriting});
}

absl::StatusOr<bool> PosixDirectory::Exists(const std::string& name) const {
  RETURN_IF_ERROR(CheckName(name));
  struct stat status;
  if (fstatat(descriptor_, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
    return true;
  }
  if (errno == ENOENT) return false;
  return SystemError(errno, "cannot look for", PathOf(name));
}

absl::Status PosixDirectory::Rename(const std::string& from,
                                    const std::string& to) {
  RETURN_IF_ERROR(CheckName(from));
  RETURN_IF_ERROR(CheckName(to));
  if (renameat2(descriptor_, from.c_str(), descriptor_, to.c_str(),
                RENAME_NOREPLACE) == 0) {
    return absl::OkStatus();
  }
  // File systems that cannot refuse to replace: look first. Nobody else is
  // expected to use these names.
  if (errno == EINVAL || errno == ENOSYS) {
    ASSIGN_OR_RETURN(const bool taken, Exists(to));
    errno = EEXIST;
    if (!taken &&
        renameat(descriptor_, from.c_str(), descriptor_, to.c_str()) == 0) {
      return absl::OkStatus();
    }
  }
  return absl::ErrnoToStatus(
      errno, absl::StrCat("cannot rename '", PathOf(from), "' to '", to, "'"));
}

absl::Status PosixDirectory::Remove(const std::string& name) {
  RETURN_IF_ERROR(CheckName(name));
  if (unlinkat(descriptor_, name.c_str(), 0) == 0) return absl::OkStatus();
  return SystemError(errno, "cannot remove", PathOf(name));
}

absl::Status PosixDirectory::Sync() {
  if (Uninterrupted([&] { return fsync(descriptor_); }) == 0) {
    return absl::OkStatus();
  }
  if (errno == EINVAL || errno == EOPNOTSUPP) return absl::OkStatus();
  return SystemError(errno, "cannot flush folder", path_);
}

}  // namespace qcow2::repair
