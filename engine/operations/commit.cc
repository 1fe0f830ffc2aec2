#include "engine/operations/commit.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/image/empty_image.h"
#include "engine/image/raw_disk.h"
#include "engine/image/resize.h"
#include "engine/operations/copy.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

absl::Status CheckWritable(const GuestDisk& disk) {
  if (disk.writable()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("'", disk.name(), "' is not open for writing"));
}

absl::Status Grow(GuestDisk& disk, uint64_t size) {
  if (disk.size_bytes() >= size) return absl::OkStatus();
  if (auto* const image = dynamic_cast<Image*>(&disk); image != nullptr) {
    return ResizeImage(*image, size, {});
  }
  if (auto* const raw = dynamic_cast<RawDisk*>(&disk); raw != nullptr) {
    return raw->Resize(size);
  }
  return absl::FailedPreconditionError(
      absl::StrCat("'", disk.name(), "' cannot be made longer"));
}

}  // namespace

absl::Status CommitImage(Image& image, const CommitOptions& options) {
  GuestDisk* const backing = image.backing();
  if (backing == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("'", image.name(), "' has no backing file to commit to"));
  }
  RETURN_IF_ERROR(CheckWritable(*backing));
  if (options.empty_image) RETURN_IF_ERROR(CheckWritable(image));
  RETURN_IF_ERROR(Grow(*backing, image.size_bytes()));
  CopyOptions copy;
  copy.threads = options.threads;
  copy.sparse_block_bytes = 0;
  copy.first_layer_only = true;
  copy.control = options.control;
  RETURN_IF_ERROR(CopyDisk(image, *backing, copy));
  RETURN_IF_ERROR(backing->Flush());
  if (!options.empty_image) return absl::OkStatus();
  return EmptyImage(image.core());
}

absl::Status CommitImageAt(const std::string& path, ChainOptions chain,
                           const CommitOptions& options) {
  if (chain.backing == NamedFilePolicy::kNone) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", path, "': its backing file must be opened to commit to it"));
  }
  chain.writable = true;
  chain.writable_backing = true;
  ASSIGN_OR_RETURN(const std::unique_ptr<Image> image, OpenImage(path, chain));
  RETURN_IF_ERROR(CommitImage(*image, options));
  RETURN_IF_ERROR(image->Close());
  auto* const below = dynamic_cast<Image*>(image->backing());
  return below == nullptr ? absl::OkStatus() : below->Close();
}

}  // namespace qcow2
