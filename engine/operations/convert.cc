#include "engine/operations/convert.h"

#include <unistd.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/image/create.h"
#include "engine/image/image_chain.h"
#include "engine/operations/copy.h"
#include "engine/status_macros.h"
#include "engine/storage/new_file.h"

namespace qcow2 {
namespace {

constexpr uint64_t kSectorBytes = 512;

// The files of the new disk. Takes away again those it made, unless kept.
class TargetFiles {
 public:
  TargetFiles() = default;
  TargetFiles(const TargetFiles&) = delete;
  TargetFiles& operator=(const TargetFiles&) = delete;
  ~TargetFiles() {
    for (const std::string& path : created_) unlink(path.c_str());
  }

  absl::StatusOr<std::unique_ptr<PosixFile>> Open(const std::string& path) {
    ASSIGN_OR_RETURN(NewFile file, OpenNewFile(path));
    if (file.created) created_.push_back(path);
    return std::move(file.file);
  }
  void Keep() { created_.clear(); }

 private:
  std::vector<std::string> created_;
};

absl::Status CheckOptions(const ConvertOptions& options) {
  if (options.format == DiskFormat::kAuto) {
    return absl::InvalidArgumentError("the new disk needs a format");
  }
  if (options.format == DiskFormat::kQcow2) return absl::OkStatus();
  if (options.compressed) {
    return absl::InvalidArgumentError("raw disks cannot be compressed");
  }
  if (!options.create.backing_file.empty()) {
    return absl::InvalidArgumentError("raw disks have no backing file");
  }
  if (options.create.preallocation == Preallocation::kMetadata) {
    return absl::InvalidArgumentError(
        "raw disks have no metadata to preallocate");
  }
  return absl::OkStatus();
}

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

absl::Status CreateTarget(const std::string& path, DiskFormat format,
                          const CreateOptions& create, TargetFiles& files) {
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

// Whether what was not written to such a new disk reads as zeros.
bool ReadsZeros(DiskFormat format, const CreateOptions& create) {
  if (format == DiskFormat::kRaw) return true;
  if (!create.backing_file.empty()) return false;
  // Zeros in a cluster do not decrypt to zeros.
  return create.crypt_method == kCryptNone || !IsPreallocated(create);
}

CopyOptions CopyOptionsFor(const ConvertOptions& options) {
  CopyOptions copy;
  copy.threads = options.threads;
  copy.sparse_block_bytes = options.sparse_block_bytes;
  copy.first_layer_only = !options.create.backing_file.empty();
  // Zeros that are not to be sparse are written, whoever knows of them.
  copy.target_reads_zeros = options.sparse_block_bytes != 0 &&
                            ReadsZeros(options.format, options.create);
  copy.control = options.control;
  return copy;
}

ChainOptions OpenOptionsFor(const ConvertOptions& options) {
  ChainOptions chain;
  chain.writable = true;
  chain.passphrase = options.passphrase;
  return chain;
}

absl::Status CopyToImage(GuestDisk& source, const std::string& path,
                         const ConvertOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Image> image,
                   OpenImage(path, OpenOptionsFor(options)));
  const CopyOptions copy = CopyOptionsFor(options);
  RETURN_IF_ERROR(options.compressed ? CopyDiskCompressed(source, *image, copy)
                                     : CopyDisk(source, *image, copy));
  return image->Close();
}

absl::Status CopyToRaw(GuestDisk& source, const std::string& path,
                       const ConvertOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<GuestDisk> disk,
                   OpenDisk(path, DiskFormat::kRaw, OpenOptionsFor(options)));
  RETURN_IF_ERROR(CopyDisk(source, *disk, CopyOptionsFor(options)));
  return disk->Flush();
}

}  // namespace

absl::Status ConvertDisk(GuestDisk& source, const std::string& path,
                         const ConvertOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  CreateOptions create = options.create;
  const bool raw = options.format == DiskFormat::kRaw;
  if (create.virtual_size == 0) {
    const uint64_t unit = raw ? 1 : kSectorBytes;
    create.virtual_size = (source.size_bytes() + unit - 1) / unit * unit;
  }
  if (create.virtual_size < source.size_bytes()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the new disk would have ", create.virtual_size,
        " bytes, too few for the ", source.size_bytes(), " of the source"));
  }
  TargetFiles files;
  RETURN_IF_ERROR(CreateTarget(path, options.format, create, files));
  RETURN_IF_ERROR(raw ? CopyToRaw(source, path, options)
                      : CopyToImage(source, path, options));
  files.Keep();
  return absl::OkStatus();
}

}  // namespace qcow2
