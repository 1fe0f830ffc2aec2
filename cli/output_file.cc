#include "cli/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <utility>

#include "engine/status_macros.h"

namespace qcow2::cli {
namespace {

absl::Status WriteError(int error, std::string_view name) {
  return absl::ErrnoToStatus(error, "cannot write '" + std::string(name) + "'");
}

bool StartsLikeAnImage(int descriptor) {
  static constexpr std::string_view kMagic = "QFI\xfb";
  std::array<char, kMagic.size()> start;
  return pread(descriptor, start.data(), start.size(), 0) ==
             static_cast<ssize_t>(start.size()) &&
         std::string_view(start.data(), start.size()) == kMagic;
}

// Of a file or a block device that is there. What cannot be read may be one.
absl::Status RefuseImage(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor == -1) {
    return absl::ErrnoToStatus(errno, "cannot tell whether '" + path +
                                          "' is a qcow2 image; not "
                                          "overwriting it");
  }
  const bool image = StartsLikeAnImage(descriptor);
  close(descriptor);
  if (!image) return absl::OkStatus();
  return absl::InvalidArgumentError("'" + path +
                                    "' is a qcow2 image; not overwriting it");
}

// The file a symbolic link leads to, so that the link stays. One that somebody
// else put there, say in /tmp, may lead to anything.
absl::StatusOr<std::string> FollowLinks(const std::string& path) {
  struct stat link;
  if (lstat(path.c_str(), &link) != 0 || !S_ISLNK(link.st_mode)) return path;
  if (link.st_uid != geteuid() && link.st_uid != 0) {
    return absl::PermissionDeniedError(
        "'" + path + "' is a symbolic link of another user; not writing there");
  }
  char* const resolved = realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return path;
  std::string target(resolved);
  std::free(resolved);
  return target;
}

std::optional<struct stat> StatusOf(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return std::nullopt;
  return status;
}

}  // namespace

absl::Status WriteAll(int descriptor, std::string_view text,
                      std::string_view name) {
  while (!text.empty()) {
    const ssize_t count = write(descriptor, text.data(), text.size());
    if (count == -1 && errno == EINTR) continue;
    if (count == -1) return WriteError(errno, name);
    text.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

absl::StatusOr<OutputFile> OutputFile::CreateDirect(const std::string& path) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
  if (descriptor == -1) return WriteError(errno, path);
  OutputFile file(descriptor, path, "");
  struct stat status;
  if (fstat(descriptor, &status) != 0) return WriteError(errno, path);
  if (S_ISBLK(status.st_mode)) RETURN_IF_ERROR(RefuseImage(path));
  if (!S_ISREG(status.st_mode)) return file;
  return absl::AbortedError("'" + path + "' was replaced meanwhile");
}

absl::StatusOr<OutputFile> OutputFile::Create(const std::string& path,
                                              std::optional<unsigned> mode) {
  const std::optional<struct stat> existing = StatusOf(path);
  if (existing && !S_ISREG(existing->st_mode)) return CreateDirect(path);
  if (existing) RETURN_IF_ERROR(RefuseImage(path));
  ASSIGN_OR_RETURN(std::string target, FollowLinks(path));
  std::string temporary = target + ".XXXXXX";
  const int descriptor = mkostemp(temporary.data(), O_CLOEXEC);
  if (descriptor == -1) return WriteError(errno, path);
  // mkostemp lets only the owner read; a report is for whoever could read the
  // one before it, by default everybody (the collector has a user of its own).
  fchmod(descriptor, mode       ? *mode
                     : existing ? existing->st_mode & 07777
                                : 0644);
  return OutputFile(descriptor, std::move(target), std::move(temporary));
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, "")) {}

OutputFile::~OutputFile() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
  if (descriptor_ != -1) close(descriptor_);
}

absl::Status OutputFile::Append(std::string_view text) {
  return WriteAll(descriptor_, text, path_);
}

absl::Status OutputFile::Commit() {
  if (temporary_.empty()) return absl::OkStatus();
  if (fsync(descriptor_) != 0) return WriteError(errno, path_);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    return WriteError(errno, path_);
  }
  temporary_.clear();
  return absl::OkStatus();
}

}  // namespace qcow2::cli
