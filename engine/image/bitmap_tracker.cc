#include "engine/image/bitmap_tracker.h"

#include <utility>

#include "engine/format/byte_order.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// Of an entry's flags, from its beginning.
constexpr uint64_t kFlagsOffset = 12;
constexpr uint64_t kFlagsSize = 4;

absl::Status GiveUpBitmaps(Metadata& metadata) {
  HeaderArea next = metadata.area();
  next.header.autoclear_features &= ~kAutoclearBitmaps;
  return metadata.SwitchHeader(std::move(next));
}

}  // namespace

BitmapTracker::BitmapTracker(Metadata& metadata) : metadata_(metadata) {
  metadata.guard().Add(kOverlapBitmapDirectory, StoredDirectoryRun(metadata));
}

absl::Status BitmapTracker::Load() {
  ASSIGN_OR_RETURN(directory_, LoadBitmapDirectory(metadata_));
  loaded_ = true;
  const uint64_t size = metadata_.header().size;
  for (size_t i = 0; i < directory_.bitmaps.size() && directory_.intact; ++i) {
    BitmapDirectoryEntry& entry = directory_.bitmaps[i].entry;
    if ((entry.flags & kBitmapAuto) == 0 || entry.in_use()) continue;
    entry.flags |= kBitmapInUse;
    to_mark_.push_back(i);
    if (!IsUsable(entry, size, metadata_.geometry())) continue;
    tracked_.push_back({i, DirtyBits(size, entry.granularity_bits)});
  }
  return absl::OkStatus();
}

absl::Status BitmapTracker::MarkInUse() {
  for (const size_t index : to_mark_) {
    const LocatedBitmap& located = directory_.bitmaps[index];
    // Entries begin at multiples of 8: the flags lie in one sector.
    std::byte bytes[kFlagsSize];
    StoreBe32(bytes, located.entry.flags);
    const uint64_t offset =
        directory_.offset.value() + located.offset + kFlagsOffset;
    RETURN_IF_ERROR(
        metadata_.GuardWrite({offset, kFlagsSize}, kOverlapBitmapDirectory));
    RETURN_IF_ERROR(metadata_.file().Pwrite(offset, bytes));
  }
  return to_mark_.empty() ? absl::OkStatus() : metadata_.file().Flush();
}

absl::Status BitmapTracker::Start() {
  // Once only: if marking fails half-way, some are marked in the file.
  if (!loaded_) RETURN_IF_ERROR(Load());
  RETURN_IF_ERROR(directory_.intact ? MarkInUse() : GiveUpBitmaps(metadata_));
  started_ = true;
  return absl::OkStatus();
}

absl::Status BitmapTracker::Note(uint64_t offset, uint64_t length) {
  if (offset >= metadata_.header().size) return absl::OkStatus();
  if (!started_) RETURN_IF_ERROR(Start());
  for (Tracked& tracked : tracked_) tracked.dirty.Set(offset, length);
  return absl::OkStatus();
}

absl::Status BitmapTracker::Store() {
  if (tracked_.empty()) {
    Reset();
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(metadata_.BeginChange());
  BitmapChange change(metadata_, directory_);
  bool any = false;
  for (const Tracked& tracked : tracked_) {
    BitmapDirectoryEntry& entry = change.entries()[tracked.index];
    ASSIGN_OR_RETURN(const bool merged, change.Merge(entry, tracked.dirty));
    // A bitmap whose table is damaged stays in use, which says as much.
    if (!merged) continue;
    entry.flags &= ~kBitmapInUse;
    any = true;
  }
  if (any) RETURN_IF_ERROR(change.Commit(metadata_.header().size));
  Reset();
  return absl::OkStatus();
}

void BitmapTracker::Reset() {
  started_ = false;
  loaded_ = false;
  directory_ = BitmapDirectory();
  to_mark_.clear();
  tracked_.clear();
}

const DirtyBits* BitmapTracker::Unstored(std::string_view name) const {
  for (const Tracked& tracked : tracked_) {
    if (directory_.bitmaps[tracked.index].entry.name == name) {
      return &tracked.dirty;
    }
  }
  return nullptr;
}

}  // namespace qcow2
