#include "engine/operations/create_disk.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/image/create.h"
#include "engine/status_macros.h"
#include "engine/storage/new_file.h"

namespace qcow2 {
namespace {

absl::Status CreateRaw(const CreateOptions& create, PosixFile& file) {
  if (!file.is_block_device()) {
    RETURN_IF_ERROR(file.Truncate(0));
    RETURN_IF_ERROR(file.Truncate(create.virtual_size));
    // Where zeros are to take space, Allocate reserves what writing them would.
    if (create.preallocation == Preallocation::kOff ||
        create.virtual_size == 0) {
      return absl::OkStatus();
    }
    return file.Allocate({0, create.virtual_size});
  }
  ASSIGN_OR_RETURN(const uint64_t there, file.Size());
  if (there >= create.virtual_size) {
    return file.PunchHole({0, create.virtual_size});
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("'", file.name(), "' has ", there, " bytes, of ",
                   create.virtual_size, " that are needed"));
}

}  // namespace

NewDiskFiles::~NewDiskFiles() {
  for (const std::string& path : created_) unlink(path.c_str());
}

absl::StatusOr<std::unique_ptr<PosixFile>> NewDiskFiles::Open(
    const std::string& path) {
  ASSIGN_OR_RETURN(NewFile file, OpenNewFile(path));
  if (file.created) created_.push_back(path);
  return std::move(file.file);
}

absl::Status CreateDisk(const std::string& path, DiskFormat format,
                        const CreateOptions& create, NewDiskFiles& files) {
  if (format == DiskFormat::kAuto) {
    return absl::InvalidArgumentError("the new disk needs a format");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<PosixFile> file, files.Open(path));
  if (format == DiskFormat::kRaw) return CreateRaw(create, *file);
  std::unique_ptr<PosixFile> data_file;
  if (!create.data_file.empty()) {
    ASSIGN_OR_RETURN(const std::string data_path,
                     PathOfNamedFile(path, create.data_file));
    ASSIGN_OR_RETURN(data_file, files.Open(data_path));
  }
  return CreateImage(*file, data_file.get(), create);
}

}  // namespace qcow2
