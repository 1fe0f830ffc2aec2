#include "engine/image/image_chain.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/format/header_extension.h"
#include "engine/image/header_area.h"
#include "engine/image/image_chain_cipher.h"
#include "engine/image/raw_disk.h"
#include "engine/status_macros.h"
#include "engine/storage/named_file.h"
#include "engine/storage/posix_file.h"

namespace qcow2 {
namespace {

constexpr LockRequest kUnconcernedLocks = {
    .held = kLockConsistentRead,
    .shared =
        kLockConsistentRead | kLockWrite | kLockWriteUnchanged | kLockResize,
};

// The same status, told from further up the chain.
absl::Status NamedBy(const std::string& image, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("file named by '", image,
                                                  "': ", status.message()));
}

// A file of the chain, before the disk is made of it.
struct Layer {
  std::unique_ptr<PosixFile> file;
  std::unique_ptr<PosixFile> data_file;  // null without one
  bool writable = false;
  std::optional<HeaderArea> area;  // of a qcow2 image
};

// Opens the files from the top down, and then makes disks of them from the
// bottom up: a long chain needs no deep stack.
class ChainOpener {
 public:
  explicit ChainOpener(const ChainOptions& options)
      : options_(options), opened_(options.above) {}

  absl::Status OpenFiles(const std::string& path, DiskFormat format);
  absl::StatusOr<std::unique_ptr<Image>> MakeImage();
  absl::StatusOr<std::unique_ptr<GuestDisk>> MakeDisk();

 private:
  // Sees to it that the chain has the file once, and locks it.
  absl::Status Take(PosixFile& file);
  // Adds the disk in `file`, which has just been opened.
  absl::Status AddLayer(std::unique_ptr<PosixFile> file, DiskFormat format);
  // Adds the one that the last layer names.
  absl::Status AddBacking();
  bool NextIsWritable() const {
    return layers_.empty() ? options_.writable
                           : layers_.size() == 1 && options_.writable_backing;
  }
  absl::StatusOr<DiskFormat> Probe(const PosixFile& file, bool writable) const;
  absl::Status OpenDataFile(Layer& layer);
  absl::StatusOr<std::unique_ptr<Image>> ImageOf(
      Layer layer, std::shared_ptr<GuestDisk> backing) const;
  // Makes the disks of all layers but the first; null if there are none.
  absl::StatusOr<std::shared_ptr<GuestDisk>> MakeBacking();

  const ChainOptions& options_;
  std::vector<Layer> layers_;
  std::vector<FileIdentity> opened_;
};

absl::Status ChainOpener::Take(PosixFile& file) {
  if (std::find(opened_.begin(), opened_.end(), file.identity()) !=
      opened_.end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", file.name(),
        "' is in the chain of files already: a cycle, which has no end"));
  }
  opened_.push_back(file.identity());
  return file.Lock(file.writable()        ? kWriterLocks
                   : options_.force_share ? kUnconcernedLocks
                                          : kReaderLocks);
}

absl::StatusOr<DiskFormat> ChainOpener::Probe(const PosixFile& file,
                                              bool writable) const {
  ASSIGN_OR_RETURN(const DiskFormat format, ProbeFormat(file));
  if (format == DiskFormat::kRaw && writable) {
    return absl::FailedPreconditionError(absl::StrCat(
        "'", file.name(),
        "' is no qcow2 image; to write it as a raw disk its format must be "
        "given"));
  }
  return format;
}

absl::Status ChainOpener::OpenDataFile(Layer& layer) {
  const std::string& image = layer.file->name();
  const std::optional<std::string> name =
      layer.area->TextOf(kExtensionDataFile);
  if (!name.has_value()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "'", image, "' has its data in another file, but does not name it"));
  }
  absl::StatusOr<std::string> path = PathOfNamedFile(image, *name);
  if (!path.ok()) return NamedBy(image, path.status());
  absl::StatusOr<std::unique_ptr<PosixFile>> file = OpenNamedFile(
      image, *path, options_.data_file, {.writable = layer.writable});
  if (!file.ok()) return NamedBy(image, file.status());
  if (const absl::Status taken = Take(**file); !taken.ok()) {
    return NamedBy(image, taken);
  }
  layer.data_file = *std::move(file);
  return absl::OkStatus();
}

absl::Status ChainOpener::AddLayer(std::unique_ptr<PosixFile> file,
                                   DiskFormat format) {
  RETURN_IF_ERROR(Take(*file));
  Layer layer;
  layer.writable = file->writable();
  layer.file = std::move(file);
  if (format == DiskFormat::kAuto) {
    ASSIGN_OR_RETURN(format, Probe(*layer.file, layer.writable));
  }
  if (format == DiskFormat::kQcow2) {
    ASSIGN_OR_RETURN(layer.area, ReadHeaderArea(*layer.file));
    if (layer.area->header.has_external_data_file()) {
      RETURN_IF_ERROR(OpenDataFile(layer));
    }
  }
  layers_.push_back(std::move(layer));
  return absl::OkStatus();
}

absl::Status ChainOpener::AddBacking() {
  const std::string image = layers_.back().file->name();
  const HeaderArea& area = *layers_.back().area;
  ASSIGN_OR_RETURN(const std::string path,
                   PathOfNamedFile(image, area.backing_name));
  ASSIGN_OR_RETURN(const DiskFormat format, BackingFormatOf(area));
  ASSIGN_OR_RETURN(std::unique_ptr<PosixFile> file,
                   OpenNamedFile(image, path, options_.backing,
                                 {.writable = NextIsWritable()}));
  return AddLayer(std::move(file), format);
}

absl::Status ChainOpener::OpenFiles(const std::string& path,
                                    DiskFormat format) {
  if (options_.force_share &&
      (options_.writable || options_.writable_backing)) {
    return absl::InvalidArgumentError(
        "an image can be opened for writing, or shared by force, not both");
  }
  ASSIGN_OR_RETURN(std::unique_ptr<PosixFile> top,
                   PosixFile::Open(path, {.writable = NextIsWritable()}));
  RETURN_IF_ERROR(AddLayer(std::move(top), format));
  if (options_.backing == NamedFilePolicy::kNone) return absl::OkStatus();
  while (layers_.back().area.has_value() &&
         !layers_.back().area->backing_name.empty()) {
    if (layers_.size() == kMaxChainImages) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", path, "' has more than ", kMaxChainImages - 1,
                       " images below it"));
    }
    const std::string image = layers_.back().file->name();
    const absl::Status added = AddBacking();
    if (!added.ok()) return NamedBy(image, added);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Image>> ChainOpener::ImageOf(
    Layer layer, std::shared_ptr<GuestDisk> backing) const {
  ImageOptions options;
  static_cast<ImageTuning&>(options) = options_.tuning;
  options.writable = layer.writable;
  options.backing = std::move(backing);
  options.data_file = std::move(layer.data_file);
  if (layer.area->header.crypt_method != kCryptNone && options_.passphrase) {
    ASSIGN_OR_RETURN(const Secret passphrase,
                     options_.passphrase(layer.file->name()));
    ASSIGN_OR_RETURN(options.cipher,
                     UnlockImage(*layer.file, *layer.area, passphrase));
  }
  return Image::Open(std::move(layer.file), std::move(options));
}

absl::StatusOr<std::shared_ptr<GuestDisk>> ChainOpener::MakeBacking() {
  std::shared_ptr<GuestDisk> backing;
  while (layers_.size() > 1) {
    Layer layer = std::move(layers_.back());
    layers_.pop_back();
    if (layer.area.has_value()) {
      ASSIGN_OR_RETURN(backing, ImageOf(std::move(layer), std::move(backing)));
    } else {
      ASSIGN_OR_RETURN(backing,
                       RawDisk::Open(std::move(layer.file), layer.writable));
    }
  }
  return backing;
}

absl::StatusOr<std::unique_ptr<Image>> ChainOpener::MakeImage() {
  ASSIGN_OR_RETURN(std::shared_ptr<GuestDisk> backing, MakeBacking());
  return ImageOf(std::move(layers_.front()), std::move(backing));
}

absl::StatusOr<std::unique_ptr<GuestDisk>> ChainOpener::MakeDisk() {
  if (layers_.front().area.has_value()) return MakeImage();
  return RawDisk::Open(std::move(layers_.front().file),
                       layers_.front().writable);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Image>> OpenImage(const std::string& path,
                                                 const ChainOptions& options) {
  ChainOpener opener(options);
  RETURN_IF_ERROR(opener.OpenFiles(path, DiskFormat::kQcow2));
  return opener.MakeImage();
}

absl::StatusOr<std::unique_ptr<GuestDisk>> OpenDisk(
    const std::string& path, DiskFormat format, const ChainOptions& options) {
  ChainOpener opener(options);
  RETURN_IF_ERROR(opener.OpenFiles(path, format));
  return opener.MakeDisk();
}

}  // namespace qcow2
