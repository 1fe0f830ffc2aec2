#include "repair/table_places.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "engine/format/bitmap_directory.h"
#include "engine/format/byte_order.h"
#include "engine/format/snapshot_table.h"
#include "engine/status_macros.h"

namespace qcow2::repair {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{256} << 10;
constexpr uint64_t kWordBytes = 8;

uint64_t RoundedUp(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

absl::StatusOr<EntryPlaces> LocateSnapshots(const File& view,
                                            const checker::ImageModel& model) {
  const uint64_t table = model.header.snapshots_offset.value();
  EntryPlaces places;
  for (uint64_t i = 0; i < model.snapshot_count; ++i) {
    const uint64_t position =
        RoundedUp(places.length_bytes, kSnapshotAlignment);
    std::array<std::byte, kSnapshotFixedSize> fixed;
    RETURN_IF_ERROR(ReadZeroFilled(view, table + position, fixed));
    const SnapshotEntry entry = SnapshotEntry::Decode(fixed);
    places.entries.push_back(
        {position, entry.l1_table_offset.value(), entry.l1_size});
    places.length_bytes = position + entry.size_bytes();
  }
  return places;
}

absl::StatusOr<EntryPlaces> LocateBitmaps(const File& view,
                                          const checker::ImageModel& model) {
  EntryPlaces places;
  if (!model.bitmap_extension.has_value()) return places;
  const uint64_t directory = model.bitmap_extension->directory_offset.value();
  for (uint64_t i = 0; i < std::min<uint64_t>(model.bitmap_count, kMaxBitmaps);
       ++i) {
    const uint64_t position = places.length_bytes;
    std::array<std::byte, kBitmapFixedSize> fixed;
    RETURN_IF_ERROR(ReadZeroFilled(view, directory + position, fixed));
    const BitmapDirectoryEntry entry = BitmapDirectoryEntry::Decode(fixed);
    places.entries.push_back(
        {position, entry.table_offset.value(), entry.table_size});
    places.length_bytes = position + entry.padded_size_bytes();
  }
  return places;
}

absl::Status ForEachWord(
    const File& view, uint64_t offset, uint64_t words,
    const std::function<absl::Status(uint64_t index, uint64_t word)>& visit) {
  ASSIGN_OR_RETURN(const uint64_t size, view.Size());
  if (offset >= size) return absl::OkStatus();
  const uint64_t end = offset + std::min(words * kWordBytes,
                                         RoundedUp(size - offset, kWordBytes));
  std::vector<std::byte> piece;
  for (uint64_t at = offset; at < end; at += piece.size()) {
    ASSIGN_OR_RETURN(const ByteRange data, view.NextData(at));
    if (data.length == 0) return absl::OkStatus();
    if (data.offset > at) {
      at += (data.offset - at) / kWordBytes * kWordBytes;
      if (at >= end) return absl::OkStatus();
    }
    piece.resize(std::min(kPieceBytes, end - at));
    RETURN_IF_ERROR(ReadZeroFilled(view, at, piece));
    for (uint64_t i = 0; i < piece.size(); i += kWordBytes) {
      const uint64_t word = LoadBe64(&piece[i]);
      if (word == 0) continue;
      RETURN_IF_ERROR(visit((at + i - offset) / kWordBytes, word));
    }
  }
  return absl::OkStatus();
}

}  // namespace qcow2::repair
