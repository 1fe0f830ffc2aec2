#include "cli/fleet/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "engine/descriptor.h"
#include "engine/status_macros.h"

namespace qcow2::cli {
namespace {

absl::Status CannotOpen(int error, const std::string& path) {
  return absl::ErrnoToStatus(error, "cannot open '" + path + "'");
}

// The folder at `relative` below `root`, one name after the other so that none
// of them is followed if it is a symbolic link.
absl::StatusOr<Descriptor> OpenFolder(const std::string& root,
                                      const std::string& relative) {
  const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  Descriptor folder(open(root.c_str(), flags));
  if (folder.get() == -1) return CannotOpen(errno, root);
  for (size_t begin = 0; begin < relative.size();) {
    const size_t end = std::min(relative.find('/', begin), relative.size());
    const std::string name = relative.substr(begin, end - begin);
    Descriptor next(openat(folder.get(), name.c_str(), flags | O_NOFOLLOW));
    if (next.get() == -1) return CannotOpen(errno, PathInTree(root, relative));
    folder = std::move(next);
    begin = end + 1;
  }
  return folder;
}

struct Entries {
  std::vector<std::string> files;
  std::vector<std::string> folders;
};

// Sorts the entry `name` of `folder` in, if it is a file or a folder.
void AddEntry(int folder, const dirent& entry, Entries& entries) {
  const std::string name = entry.d_name;
  if (name == "." || name == "..") return;
  unsigned char type = entry.d_type;
  if (type == DT_UNKNOWN) {
    struct stat status;
    if (fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
      return;
    type = static_cast<unsigned char>(IFTODT(status.st_mode));
  }
  if (type == DT_REG) entries.files.push_back(name);
  if (type == DT_DIR) entries.folders.push_back(name);
}

absl::StatusOr<Entries> ReadFolder(const std::string& root,
                                   const std::string& relative) {
  ASSIGN_OR_RETURN(Descriptor descriptor, OpenFolder(root, relative));
  DIR* const folder = fdopendir(descriptor.get());
  if (folder == nullptr) return CannotOpen(errno, PathInTree(root, relative));
  const int number = descriptor.Release();  // closedir() closes it
  Entries entries;
  errno = 0;
  while (const dirent* const entry = readdir(folder)) {
    AddEntry(number, *entry, entries);
    errno = 0;
  }
  const int error = errno;
  closedir(folder);
  if (error != 0) {
    return absl::ErrnoToStatus(
        error, "cannot read the folder '" + PathInTree(root, relative) + "'");
  }
  std::ranges::sort(entries.files);
  std::ranges::sort(entries.folders);
  return entries;
}

std::string Below(const std::string& relative, const std::string& name) {
  return relative.empty() ? name : relative + "/" + name;
}

// Opens what an O_PATH descriptor stands for, so that it is the very file that
// was looked at. Without /proc by its name, which others can change meanwhile.
int OpenForReading(int path_only, int folder, const std::string& name) {
  const int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  const std::string link = "/proc/self/fd/" + std::to_string(path_only);
  const int descriptor = open(link.c_str(), flags);
  if (descriptor != -1 || errno != ENOENT) return descriptor;
  return openat(folder, name.c_str(), flags | O_NOFOLLOW);
}

}  // namespace

std::string PathInTree(const std::string& root, const std::string& relative) {
  if (relative.empty()) return root;
  return root.ends_with('/') ? root + relative : root + "/" + relative;
}

void WalkTree(const std::string& root, const TreeVisitor& visitor) {
  std::vector<std::string> waiting = {""};  // the next one is the last
  while (!waiting.empty()) {
    const std::string relative = std::move(waiting.back());
    waiting.pop_back();
    if (visitor.cancel != nullptr && *visitor.cancel) return;
    absl::StatusOr<Entries> entries = ReadFolder(root, relative);
    if (!entries.ok()) {
      visitor.error(entries.status());
      continue;
    }
    for (const std::string& name : entries->files) {
      const std::string path = Below(relative, name);
      if (!visitor.excluded(path, name)) visitor.file(path);
    }
    // Taken from the end, so that the first by name is the next.
    std::reverse(entries->folders.begin(), entries->folders.end());
    for (const std::string& name : entries->folders) {
      std::string path = Below(relative, name);
      if (!visitor.excluded(path, name)) waiting.push_back(std::move(path));
    }
  }
}

absl::StatusOr<FileInTree> OpenInTree(const std::string& root,
                                      const std::string& relative) {
  const std::string path = PathInTree(root, relative);
  const size_t slash = relative.rfind('/');
  const bool nested = slash != std::string::npos;
  ASSIGN_OR_RETURN(const Descriptor folder,
                   OpenFolder(root, nested ? relative.substr(0, slash) : ""));
  const std::string name = nested ? relative.substr(slash + 1) : relative;
  const Descriptor path_only(
      openat(folder.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status;
  if (path_only.get() == -1 || fstat(path_only.get(), &status) != 0) {
    return CannotOpen(errno, path);
  }
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError("'" + path + "' is no regular file");
  }
  const int descriptor = OpenForReading(path_only.get(), folder.get(), name);
  if (descriptor == -1) return CannotOpen(errno, path);
  ASSIGN_OR_RETURN(std::unique_ptr<PosixFile> file,
                   PosixFile::Adopt(descriptor, path, {}));
  return FileInTree{std::move(file), status.st_mtim.tv_sec};
}

}  // namespace qcow2::cli
