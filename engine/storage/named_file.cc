#include "engine/storage/named_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/storage/system_call.h"

namespace qcow2 {
namespace {

constexpr char kRefusalPayload[] = "qcow2/named-file-policy";

struct PolicyRow {
  NamedFilePolicy policy;
  std::string_view name;
};
constexpr PolicyRow kPolicies[] = {
    {NamedFilePolicy::kAny, "any"},
    {NamedFilePolicy::kFollow, "follow"},
    {NamedFilePolicy::kSameDirectory, "same-dir"},
    {NamedFilePolicy::kNone, "none"},
};

// A descriptor that only stands for a file: opening it does nothing to the
// file, whatever it is.
class PathDescriptor {
 public:
  PathDescriptor(int folder, const std::string& path, int flags)
      : descriptor_(Uninterrupted([&] {
          return openat(folder, path.c_str(), O_PATH | O_CLOEXEC | flags);
        })),
        error_(descriptor_ == -1 ? errno : 0) {}
  ~PathDescriptor() {
    if (descriptor_ != -1) close(descriptor_);
  }
  PathDescriptor(const PathDescriptor&) = delete;
  PathDescriptor& operator=(const PathDescriptor&) = delete;

  int get() const { return descriptor_; }
  absl::StatusOr<struct stat> Look(const std::string& path) const {
    struct stat status;
    const int error = descriptor_ == -1                  ? error_
                      : fstat(descriptor_, &status) != 0 ? errno
                                                         : 0;
    if (error == 0) return status;
    return absl::ErrnoToStatus(error, absl::StrCat("cannot open '", path, "'"));
  }

 private:
  const int descriptor_;
  const int error_;
};

absl::StatusOr<std::filesystem::path> Canonical(const std::string& path) {
  std::error_code error;
  std::filesystem::path canonical = std::filesystem::canonical(path, error);
  if (!error) return canonical;
  return absl::ErrnoToStatus(error.value(),
                             absl::StrCat("cannot open '", path, "'"));
}

// The file at `path`, as far as it is in the folder of the image.
absl::StatusOr<struct stat> LookInFolderOf(const std::string& image_path,
                                           const std::string& path) {
  ASSIGN_OR_RETURN(const std::filesystem::path image, Canonical(image_path));
  ASSIGN_OR_RETURN(const std::filesystem::path file, Canonical(path));
  if (file.parent_path() != image.parent_path()) {
    return PolicyRefusal(
        path,
        absl::StrCat("it is '", file.string(), "', not in the folder of '",
                     image_path, "', and the policy is same-dir"));
  }
  // By its last name alone, which now must be no link: so that it is in that
  // folder even if something was replaced since.
  const PathDescriptor folder(AT_FDCWD, image.parent_path(), O_DIRECTORY);
  RETURN_IF_ERROR(folder.Look(image.parent_path()).status());
  return PathDescriptor(folder.get(), file.filename(), O_NOFOLLOW).Look(path);
}

// The file that is to be opened: looked at, and found fit.
absl::StatusOr<struct stat> LookAt(const std::string& image_path,
                                   const std::string& path,
                                   NamedFilePolicy policy) {
  struct stat status;
  if (policy == NamedFilePolicy::kSameDirectory) {
    ASSIGN_OR_RETURN(status, LookInFolderOf(image_path, path));
  } else {
    ASSIGN_OR_RETURN(status, PathDescriptor(AT_FDCWD, path, 0).Look(path));
  }
  if (S_ISBLK(status.st_mode) && policy != NamedFilePolicy::kAny) {
    return PolicyRefusal(path,
                         "it is a block device, which only the policy any has "
                         "opened");
  }
  return status;
}

}  // namespace

absl::Status PolicyRefusal(const std::string& path, const std::string& why) {
  absl::Status status = absl::PermissionDeniedError(
      absl::StrCat("'", path, "' is not opened: ", why));
  status.SetPayload(kRefusalPayload, absl::Cord());
  return status;
}

std::string_view NameOfPolicy(NamedFilePolicy policy) {
  for (const PolicyRow& row : kPolicies) {
    if (row.policy == policy) return row.name;
  }
  return "unknown";
}

std::optional<NamedFilePolicy> PolicyFromName(std::string_view name) {
  for (const PolicyRow& row : kPolicies) {
    if (row.name == name) return row.policy;
  }
  return std::nullopt;
}

absl::StatusOr<std::unique_ptr<PosixFile>> OpenNamedFile(
    const std::string& image_path, const std::string& path,
    NamedFilePolicy policy, OpenOptions options) {
  if (policy == NamedFilePolicy::kNone) {
    return PolicyRefusal(
        path, absl::StrCat("no file that '", image_path,
                           "' names is to be, the policy being none"));
  }
  ASSIGN_OR_RETURN(const struct stat looked_at,
                   LookAt(image_path, path, policy));
  // Refuses what is neither a regular file nor a block device.
  ASSIGN_OR_RETURN(std::unique_ptr<PosixFile> file,
                   PosixFile::Open(path, options));
  const FileIdentity identity{.device = looked_at.st_dev,
                              .inode = looked_at.st_ino};
  if (file->identity() != identity) {
    return absl::AbortedError(absl::StrCat(
        "'", path, "' was replaced by another file while it was opened"));
  }
  return file;
}

bool IsPolicyRefusal(const absl::Status& status) {
  return status.GetPayload(kRefusalPayload).has_value();
}

}  // namespace qcow2
