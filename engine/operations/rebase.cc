#include "engine/operations/rebase.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/format/header_extension.h"
#include "engine/image/amend.h"
#include "engine/image/whole_extent.h"
#include "engine/operations/zero_bytes.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

// A backing disk, which may not be there and is zeros past its end.
class Below {
 public:
  explicit Below(GuestDisk* disk) : disk_(disk) {}

  // How much from `offset` on, at most `length`, is zeros or is not.
  absl::StatusOr<GuestExtent> ExtentAt(uint64_t offset, uint64_t length) const {
    if (disk_ == nullptr || offset >= disk_->size_bytes()) {
      return GuestExtent{GuestExtentKind::kZeros, length};
    }
    ASSIGN_OR_RETURN(
        GuestExtent extent,
        WholeExtentAt(*disk_, offset,
                      std::min(length, disk_->size_bytes() - offset)));
    if (extent.kind == GuestExtentKind::kUnallocated) {
      extent.kind = GuestExtentKind::kZeros;
    }
    return extent;
  }

  absl::Status Read(uint64_t offset, std::span<std::byte> buffer) const {
    uint64_t there = 0;
    if (disk_ != nullptr && offset < disk_->size_bytes()) {
      there = std::min<uint64_t>(buffer.size(), disk_->size_bytes() - offset);
    }
    std::fill(buffer.begin() + static_cast<ptrdiff_t>(there), buffer.end(),
              std::byte{0});
    return there == 0 ? absl::OkStatus()
                      : disk_->Read(offset, buffer.first(there));
  }

 private:
  GuestDisk* const disk_;
};

// Copies to the image what shows through it now and would not any more.
class Keeper {
 public:
  Keeper(Image& image, GuestDisk* after, const OperationControl& control)
      : image_(image),
        before_(image.backing()),
        after_(after),
        control_(control) {}

  absl::Status Run();

 private:
  absl::Status Keep(uint64_t offset, uint64_t length);

  Image& image_;
  const Below before_;
  const Below after_;
  const OperationControl& control_;
  std::vector<std::byte> bytes_before_;
  std::vector<std::byte> bytes_after_;
};

absl::Status Keeper::Keep(uint64_t offset, uint64_t length) {
  bytes_before_.resize(length);
  bytes_after_.resize(length);
  RETURN_IF_ERROR(before_.Read(offset, bytes_before_));
  RETURN_IF_ERROR(after_.Read(offset, bytes_after_));
  // Whole clusters, as far as the piece goes: no fewer are allocated anyway.
  const uint64_t unit = image_.geometry().cluster_size();
  for (uint64_t at = 0; at < length;) {
    const uint64_t end = std::min(at + unit - (offset + at) % unit, length);
    const auto old_bytes = std::span(bytes_before_).subspan(at, end - at);
    if (std::memcmp(old_bytes.data(), bytes_after_.data() + at,
                    old_bytes.size()) != 0) {
      RETURN_IF_ERROR(AllZeros(old_bytes)
                          ? MarkZeroGuest(image_.core(), offset + at, end - at)
                          : image_.Write(offset + at, old_bytes));
    }
    at = end;
  }
  return absl::OkStatus();
}

absl::Status Keeper::Run() {
  const uint64_t size = image_.size_bytes();
  for (uint64_t at = 0; at < size;) {
    RETURN_IF_ERROR(control_.CheckCancelled());
    ASSIGN_OR_RETURN(const GuestExtent own, image_.ExtentAt(at, size - at));
    uint64_t length = own.length_bytes;
    if (own.kind == GuestExtentKind::kUnallocated) {
      ASSIGN_OR_RETURN(const GuestExtent old_extent,
                       before_.ExtentAt(at, length));
      ASSIGN_OR_RETURN(const GuestExtent new_extent,
                       after_.ExtentAt(at, old_extent.length_bytes));
      length = new_extent.length_bytes;
      if (old_extent.kind != GuestExtentKind::kZeros ||
          new_extent.kind != GuestExtentKind::kZeros) {
        length = std::min(length, kPieceBytes - at % kPieceBytes);
        RETURN_IF_ERROR(Keep(at, length));
      }
    }
    at += length;
    control_.Report(at, size);
  }
  return absl::OkStatus();
}

absl::StatusOr<DiskFormat> FormatOf(const std::string& format) {
  HeaderArea area;
  if (!format.empty()) area.Set(kExtensionBackingFormat, format);
  return BackingFormatOf(area);
}

// Null if there is to be none.
absl::StatusOr<std::unique_ptr<GuestDisk>> OpenNewBacking(
    const std::string& path, ChainOptions chain, const RebaseOptions& options) {
  std::unique_ptr<GuestDisk> none;
  if (options.backing_file.empty()) return none;
  ASSIGN_OR_RETURN(const std::string backing,
                   PathOfNamedFile(path, options.backing_file));
  ASSIGN_OR_RETURN(const DiskFormat format, FormatOf(options.backing_format));
  {
    // The new chain must not lead to the image it is for.
    ASSIGN_OR_RETURN(const auto image, PosixFile::Open(path));
    chain.above.push_back(image->identity());
  }
  chain.writable = false;
  chain.writable_backing = false;
  return OpenDisk(backing, format, chain);
}

}  // namespace

absl::Status RebaseImage(Image& image, GuestDisk* backing,
                         const RebaseOptions& options) {
  if (!options.unsafe) {
    RETURN_IF_ERROR(Keeper(image, backing, options.control).Run());
  }
  return SetBackingFile(image, options.backing_file, options.backing_format);
}

absl::Status RebaseImageAt(const std::string& path, ChainOptions chain,
                           const RebaseOptions& options) {
  if (!options.unsafe && chain.backing == NamedFilePolicy::kNone) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", path,
                     "': a rebase reads the old backing file and the new one, "
                     "unless it is an unsafe one"));
  }
  chain.writable = true;
  chain.writable_backing = false;
  chain.force_share = false;
  if (options.unsafe) chain.backing = NamedFilePolicy::kNone;
  ASSIGN_OR_RETURN(const std::unique_ptr<Image> image, OpenImage(path, chain));
  std::unique_ptr<GuestDisk> backing;
  if (!options.unsafe) {
    ASSIGN_OR_RETURN(backing, OpenNewBacking(path, chain, options));
  }
  RETURN_IF_ERROR(RebaseImage(*image, backing.get(), options));
  return image->Close();
}

}  // namespace qcow2
