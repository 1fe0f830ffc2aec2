// Making the files of a new disk.
#ifndef ENGINE_OPERATIONS_CREATE_DISK_H_
#define ENGINE_OPERATIONS_CREATE_DISK_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/image/create_options.h"
#include "engine/image/image_chain_names.h"
#include "engine/storage/posix_file.h"

namespace qcow2 {

// The files of a new disk. Takes away again those it made, unless kept.
class NewDiskFiles {
 public:
  NewDiskFiles() = default;
  NewDiskFiles(const NewDiskFiles&) = delete;
  NewDiskFiles& operator=(const NewDiskFiles&) = delete;
  ~NewDiskFiles();

  absl::StatusOr<std::unique_ptr<PosixFile>> Open(const std::string& path);
  void Keep() { created_.clear(); }

 private:
  std::vector<std::string> created_;
};

// Makes an empty disk at `path`, where a file that is there is overwritten, and
// the external data file it names. kQcow2 makes an image, kRaw a raw disk, of
// whose options only size and preallocation count. Backing files are not looked
// for. Errors are those of OpenNewFile and CreateImage; InvalidArgument for
// kAuto, ResourceExhausted for a device that is too small.
absl::Status CreateDisk(const std::string& path, DiskFormat format,
                        const CreateOptions& create, NewDiskFiles& files);

}  // namespace qcow2

#endif  // ENGINE_OPERATIONS_CREATE_DISK_H_
