#include "engine/operations/convert.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/image/image_chain.h"
#include "engine/operations/copy.h"
#include "engine/operations/create_disk.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

constexpr uint64_t kSectorBytes = 512;

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
  chain.backing = options.backing;
  // It was named along with the new image.
  chain.data_file = NamedFilePolicy::kAny;
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
  NewDiskFiles files;
  RETURN_IF_ERROR(CreateDisk(path, options.format, create, files));
  RETURN_IF_ERROR(raw ? CopyToRaw(source, path, options)
                      : CopyToImage(source, path, options));
  files.Keep();
  return absl::OkStatus();
}

}  // namespace qcow2
