// Walks a folder and everything below it, and opens files there, without ever
// leaving it: symbolic links are not followed, and nothing but folders and
// regular files is opened.
#ifndef CLI_FLEET_TREE_H_
#define CLI_FLEET_TREE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/posix_file.h"

namespace qcow2::cli {

struct TreeVisitor {
  // Whether the file or folder `name`, at `relative` below the root, is left
  // out; of a folder with all that is in it.
  std::function<bool(const std::string& relative, const std::string& name)>
      excluded;
  // Told of every regular file.
  std::function<void(const std::string& relative)> file;
  // Told of every folder that cannot be read; the walk goes on.
  std::function<void(const absl::Status& status)> error;
  // When set and true, the walk ends.
  const std::atomic<bool>* cancel = nullptr;
};

// Visits what is below `root`, which itself may be a symbolic link: the files
// of a folder by name, then its folders by name.
void WalkTree(const std::string& root, const TreeVisitor& visitor);

struct FileInTree {
  std::unique_ptr<PosixFile> file;
  int64_t modified = 0;  // seconds since 1970
};

// Opens the regular file at `relative` below `root` for reading. Should any
// part of `relative` have become a symbolic link it is refused; should the file
// have become a device or FIFO, it is not opened and refused.
absl::StatusOr<FileInTree> OpenInTree(const std::string& root,
                                      const std::string& relative);

// The path of what is at `relative` below `root`.
std::string PathInTree(const std::string& root, const std::string& relative);

}  // namespace qcow2::cli

#endif  // CLI_FLEET_TREE_H_
