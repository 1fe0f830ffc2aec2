#include "repair/stored_bitmaps.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>

#include "engine/format/bitmap_table_entry.h"

namespace qcow2::repair {
namespace {

// QEMU loads no bitmap whose data fills more than this.
constexpr uint64_t kQemuMaxBitmapBytes = uint64_t{512} << 20;

// The whole entries at `offset`: up to `count` of them in up to `size` bytes.
StoredBitmaps ReadEntries(const File& view, const checker::ImageModel& model,
                          uint64_t offset, uint64_t size, uint64_t count) {
  StoredBitmaps bitmaps;
  bitmaps.offset = offset;
  if (offset >= model.file_size_bytes) return bitmaps;
  size = std::min(
      {size, kMaxBitmapDirectoryBytes, model.file_size_bytes - offset});
  std::vector<std::byte> bytes(size);
  if (!ReadZeroFilled(view, offset, bytes).ok()) return bitmaps;
  for (LocatedBitmap& bitmap : DecodeBitmapDirectory(bytes, count)) {
    const uint64_t end = bitmap.offset + bitmap.entry.padded_size_bytes();
    if (!bitmap.entry.complete() || end > size) break;
    bitmaps.length = end;
    bitmaps.entries.push_back(std::move(bitmap.entry));
  }
  return bitmaps;
}

// As many entries as the extension says, whatever their size, if all are sound.
std::optional<StoredBitmaps> ReadByCount(const File& view,
                                         const checker::ImageModel& model,
                                         const BitmapExtension& extension,
                                         uint64_t offset) {
  if (extension.nb_bitmaps == 0 || extension.nb_bitmaps > kMaxBitmaps) {
    return std::nullopt;
  }
  StoredBitmaps bitmaps = ReadEntries(
      view, model, offset, kMaxBitmapDirectoryBytes, extension.nb_bitmaps);
  if (bitmaps.entries.size() != extension.nb_bitmaps) return std::nullopt;
  std::unordered_set<std::string> names;
  for (const BitmapDirectoryEntry& entry : bitmaps.entries) {
    if (!IsSoundBitmap(entry, model) || !names.insert(entry.name).second) {
      return std::nullopt;
    }
  }
  bitmaps.complete = true;
  return bitmaps;
}

}  // namespace

bool IsSoundBitmap(const BitmapDirectoryEntry& entry,
                   const checker::ImageModel& model) {
  return BitmapIssues(entry, *model.geometry) == 0 &&
         entry.table_size * model.geometry->cluster_size() <=
             kQemuMaxBitmapBytes &&
         !model.ReachesPastEnd(entry.table_offset.value(),
                               entry.table_size * kBitmapTableEntrySize);
}

StoredBitmaps ReadBitmapDirectory(const File& view,
                                  const checker::ImageModel& model,
                                  const BitmapExtension& extension) {
  const uint64_t stored = extension.directory_offset.value();
  const uint64_t offset = stored & ~(model.geometry->cluster_size() - 1);
  StoredBitmaps bitmaps;
  if (offset == 0) return bitmaps;
  if (offset == stored &&
      extension.directory_size <= kMaxBitmapDirectoryBytes) {
    bitmaps = ReadEntries(view, model, offset, extension.directory_size,
                          ~uint64_t{0});
    bitmaps.complete = bitmaps.length == extension.directory_size &&
                       bitmaps.entries.size() == extension.nb_bitmaps;
    if (bitmaps.complete) return bitmaps;
  }
  std::optional<StoredBitmaps> by_count =
      ReadByCount(view, model, extension, offset);
  return by_count ? *std::move(by_count) : bitmaps;
}

}  // namespace qcow2::repair
