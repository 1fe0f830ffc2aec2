#include "repair/stored_snapshots.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>

#include "engine/format/header.h"
#include "engine/format/l1_entry.h"

namespace qcow2::repair {
namespace {

// Names that are found by where they end are no longer than QEMU's.
constexpr uint64_t kMaxNameRun = 255;
// Extra data as programs write it.
constexpr uint64_t kUsualExtraSizes[] = {16, 24};

bool IsPrintable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte != 0x7f;
  });
}

uint64_t RoundUpToAlignment(uint64_t position) {
  return (position + kSnapshotAlignment - 1) / kSnapshotAlignment *
         kSnapshotAlignment;
}

class Reader {
 public:
  Reader(const File& view, const checker::ImageModel& model, uint64_t offset)
      : view_(view), model_(model), offset_(offset) {}

  // The entry at `position`. `is_last`: none is expected behind it.
  std::optional<StoredSnapshot> At(uint64_t position, bool is_last,
                                   uint64_t& end) const;

 private:
  struct Shape {
    uint64_t extra_size = 0;
    // Without one, the name ends where a zero stands.
    std::optional<uint64_t> name_size;
  };

  bool ReadText(uint64_t position, uint64_t size, std::string& text) const;
  std::optional<SnapshotEntry> Fixed(uint64_t position) const;
  // The entry of that shape; nothing where it does not fit file and table.
  std::optional<StoredSnapshot> Shaped(uint64_t position, SnapshotEntry fixed,
                                       const Shape& shape, uint64_t& end) const;
  bool IsPlausible(const StoredSnapshot& snapshot) const {
    return !snapshot.entry.id.empty() && IsPrintable(snapshot.entry.id) &&
           IsPrintable(snapshot.entry.name);
  }
  // Whether an entry may begin at `position`, by its own word.
  bool IsPlausibleAt(uint64_t position) const;

  const File& view_;
  const checker::ImageModel& model_;
  const uint64_t offset_;
};

bool Reader::ReadText(uint64_t position, uint64_t size,
                      std::string& text) const {
  std::vector<std::byte> bytes(size);
  if (!ReadZeroFilled(view_, offset_ + position, bytes).ok()) return false;
  for (const std::byte byte : bytes) text.push_back(static_cast<char>(byte));
  return true;
}

std::optional<SnapshotEntry> Reader::Fixed(uint64_t position) const {
  std::array<std::byte, kSnapshotFixedSize> bytes;
  if (position + kSnapshotFixedSize > kMaxSnapshotTableBytes ||
      offset_ + position + kSnapshotFixedSize > model_.file_size_bytes ||
      !ReadZeroFilled(view_, offset_ + position, bytes).ok()) {
    return std::nullopt;
  }
  return SnapshotEntry::Decode(bytes);
}

std::optional<StoredSnapshot> Reader::Shaped(uint64_t position,
                                             SnapshotEntry fixed,
                                             const Shape& shape,
                                             uint64_t& end) const {
  StoredSnapshot snapshot;
  snapshot.stored_extra_size = fixed.missing_extra;
  const uint64_t id_at = position + kSnapshotFixedSize + shape.extra_size;
  const uint64_t name_at = id_at + fixed.missing_id;
  const uint64_t name_size = shape.name_size.value_or(kMaxNameRun + 1);
  end = name_at + name_size;
  const uint64_t file_left = model_.file_size_bytes - offset_;
  if (shape.name_size && (end > kMaxSnapshotTableBytes || end > file_left)) {
    return std::nullopt;
  }
  std::vector<std::byte> extra(
      std::min(shape.extra_size, kMaxSnapshotExtraBytes));
  SnapshotEntry& entry = snapshot.entry;
  entry = std::move(fixed);
  if (!ReadZeroFilled(view_, offset_ + position + kSnapshotFixedSize, extra)
           .ok() ||
      !ReadText(id_at, entry.missing_id, entry.id) ||
      !ReadText(name_at, name_size, entry.name)) {
    return std::nullopt;
  }
  if (!shape.name_size) {
    const size_t zero = entry.name.find('\0');
    if (zero == std::string::npos || zero == 0) return std::nullopt;
    entry.name.resize(zero);
    end = name_at + zero;
    if (end > kMaxSnapshotTableBytes || end > file_left) return std::nullopt;
  }
  entry.extra_data = std::move(extra);
  entry.missing_extra = 0;
  entry.missing_id = 0;
  entry.missing_name = 0;
  return snapshot;
}

bool Reader::IsPlausibleAt(uint64_t position) const {
  const std::optional<SnapshotEntry> fixed = Fixed(position);
  if (!fixed) return false;
  uint64_t end = 0;
  const std::optional<StoredSnapshot> snapshot = Shaped(
      position, *fixed, {fixed->missing_extra, fixed->missing_name}, end);
  return snapshot && IsPlausible(*snapshot);
}

std::optional<StoredSnapshot> Reader::At(uint64_t position, bool is_last,
                                         uint64_t& end) const {
  const std::optional<SnapshotEntry> fixed = Fixed(position);
  if (!fixed) return std::nullopt;
  const uint64_t name_size = fixed->missing_name;
  std::optional<StoredSnapshot> by_its_word =
      Shaped(position, *fixed, {fixed->missing_extra, name_size}, end);
  if (by_its_word && IsPlausible(*by_its_word)) return by_its_word;

  std::vector<Shape> shapes = {{fixed->missing_extra, std::nullopt}};
  for (const uint64_t extra_size : kUsualExtraSizes) {
    shapes.push_back({extra_size, name_size});
  }
  std::optional<StoredSnapshot> found;
  int fitting = 0;
  uint64_t found_end = 0;
  for (const Shape& shape : shapes) {
    uint64_t shape_end = 0;
    std::optional<StoredSnapshot> snapshot =
        Shaped(position, *fixed, shape, shape_end);
    if (!snapshot || !IsPlausible(*snapshot) ||
        (!is_last && !IsPlausibleAt(RoundUpToAlignment(shape_end)))) {
      continue;
    }
    ++fitting;
    found = std::move(snapshot);
    found_end = shape_end;
  }
  if (fitting != 1) return by_its_word;
  end = found_end;
  found->reshaped = true;
  return found;
}

bool IsCertain(const StoredSnapshot& snapshot,
               const checker::ImageModel& model) {
  const SnapshotEntry& entry = snapshot.entry;
  const uint64_t offset = entry.l1_table_offset.value();
  const uint64_t length = uint64_t{entry.l1_size} * kL1EntrySize;
  return !snapshot.reshaped && !entry.id.empty() && IsPrintable(entry.id) &&
         IsPrintable(entry.name) &&
         snapshot.stored_extra_size <= kMaxSnapshotExtraBytes && length > 0 &&
         length <= kMaxL1Bytes && offset != 0 &&
         model.geometry->IsAligned(offset) &&
         !model.ReachesPastEnd(offset, length);
}

}  // namespace

StoredSnapshotTable ReadSnapshotTable(const File& view,
                                      const checker::ImageModel& model,
                                      uint64_t offset, uint64_t count) {
  StoredSnapshotTable table;
  table.offset = offset;
  if (offset >= model.file_size_bytes) return table;
  const Reader reader(view, model, offset);
  for (uint64_t index = 0; index < count; ++index) {
    uint64_t end = 0;
    std::optional<StoredSnapshot> snapshot =
        reader.At(RoundUpToAlignment(table.length), index + 1 == count, end);
    if (!snapshot) return table;
    snapshot->index = index;
    table.entries.push_back(*std::move(snapshot));
    table.length = end;
  }
  table.complete = true;
  return table;
}

uint64_t CountCertainSnapshots(const File& view,
                               const checker::ImageModel& model,
                               uint64_t offset, uint64_t limit,
                               uint64_t* length) {
  uint64_t position = 0;
  uint64_t count = 0;
  if (offset < model.file_size_bytes) {
    const Reader reader(view, model, offset);
    std::unordered_set<std::string> ids;
    while (count < limit) {
      uint64_t end = 0;
      const std::optional<StoredSnapshot> snapshot =
          reader.At(RoundUpToAlignment(position), /*is_last=*/true, end);
      if (!snapshot || !IsCertain(*snapshot, model) ||
          !ids.insert(snapshot->entry.id).second) {
        break;
      }
      position = end;
      ++count;
    }
  }
  if (length != nullptr) *length = position;
  return count;
}

}  // namespace qcow2::repair
