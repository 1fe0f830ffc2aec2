#include "engine/image/bitmap_marks.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/format/bitmap_directory.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/byte_order.h"
#include "engine/format/header_extension.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// Of an entry's flags, from its beginning.
constexpr uint64_t kFlagsOffset = 12;
constexpr uint64_t kFlagsSize = 4;

// The directory's entries; nothing if it cannot be right.
std::optional<std::vector<LocatedBitmap>> ReadDirectory(
    Metadata& metadata, const BitmapExtension& extension, uint64_t length) {
  if (BitmapExtensionIssues(extension, length, metadata.geometry()) != 0) {
    return std::nullopt;
  }
  const uint64_t offset = extension.directory_offset.value();
  const absl::StatusOr<uint64_t> file_size = metadata.file().Size();
  if (!file_size.ok() || offset >= *file_size ||
      extension.directory_size > *file_size - offset) {
    return std::nullopt;
  }
  std::vector<std::byte> bytes(extension.directory_size);
  if (!ReadZeroFilled(metadata.file(), offset, bytes).ok()) {
    return std::nullopt;
  }
  std::vector<LocatedBitmap> entries =
      DecodeBitmapDirectory(bytes, extension.nb_bitmaps);
  if (entries.size() < extension.nb_bitmaps ||
      !entries.back().entry.complete()) {
    return std::nullopt;
  }
  return entries;
}

absl::Status GiveUpBitmaps(Metadata& metadata) {
  HeaderArea next = metadata.area();
  next.header.autoclear_features &= ~kAutoclearBitmaps;
  return metadata.SwitchHeader(std::move(next));
}

}  // namespace

bool HasConsistentBitmaps(const Metadata& metadata) {
  return (metadata.header().autoclear_features & kAutoclearBitmaps) != 0 &&
         metadata.area().Find(kExtensionBitmaps) != nullptr;
}

absl::Status MarkBitmapsInUse(Metadata& metadata) {
  if (!HasConsistentBitmaps(metadata)) return absl::OkStatus();
  const StoredExtension& stored = *metadata.area().Find(kExtensionBitmaps);
  const BitmapExtension extension = BitmapExtension::Decode(stored.data);
  const std::optional<std::vector<LocatedBitmap>> entries =
      ReadDirectory(metadata, extension, stored.data.size());
  if (!entries.has_value()) return GiveUpBitmaps(metadata);
  bool changed = false;
  for (const LocatedBitmap& located : *entries) {
    const uint32_t flags = located.entry.flags;
    if ((flags & kBitmapAuto) == 0 || (flags & kBitmapInUse) != 0) continue;
    // Entries begin at multiples of 8: the flags lie in one sector.
    std::byte bytes[kFlagsSize];
    StoreBe32(bytes, flags | kBitmapInUse);
    const uint64_t offset =
        extension.directory_offset.value() + located.offset + kFlagsOffset;
    RETURN_IF_ERROR(metadata.GuardWrite({offset, kFlagsSize}));
    RETURN_IF_ERROR(metadata.file().Pwrite(offset, bytes));
    changed = true;
  }
  return changed ? metadata.file().Flush() : absl::OkStatus();
}

}  // namespace qcow2
