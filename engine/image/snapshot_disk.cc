#include "engine/image/snapshot_disk.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/image/snapshot_graph.h"
#include "engine/image/snapshots.h"
#include "engine/mutex.h"
#include "engine/status_macros.h"

namespace qcow2 {

absl::StatusOr<std::unique_ptr<SnapshotDisk>> SnapshotDisk::Open(
    ImageCore& core, std::string_view id_or_name) {
  ASSIGN_OR_RETURN(SnapshotEntry entry, FindSnapshot(core, id_or_name));
  MutexLock held(&core.mutex);
  ASSIGN_OR_RETURN(std::vector<uint64_t> l1,
                   ReadSnapshotL1(*core.metadata, entry));
  const uint64_t size =
      entry.disk_size().value_or(core.metadata->header().size);
  return std::unique_ptr<SnapshotDisk>(
      new SnapshotDisk(core, std::move(entry), std::move(l1), size));
}

absl::StatusOr<std::unique_ptr<SnapshotDisk>> SnapshotDisk::Open(
    std::unique_ptr<Image> image, std::string_view id_or_name) {
  ASSIGN_OR_RETURN(std::unique_ptr<SnapshotDisk> disk,
                   Open(image->core(), id_or_name));
  disk->image_ = std::move(image);
  return disk;
}

std::string SnapshotDisk::name() const {
  return absl::StrCat(core_.file->name(), " (snapshot ", entry_.name, ")");
}

absl::Status SnapshotDisk::CheckStillThere() {
  const std::vector<SnapshotEntry>& all = core_.metadata->snapshots();
  const bool there =
      std::any_of(all.begin(), all.end(), [&](const SnapshotEntry& other) {
        return other.l1_table_offset == entry_.l1_table_offset &&
               other.id == entry_.id && other.name == entry_.name;
      });
  if (there) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(name(), ": the snapshot was deleted"));
}

absl::Status SnapshotDisk::CheckRange(uint64_t offset, uint64_t length,
                                      uint64_t size, const char* what) const {
  if (offset <= size && length <= size - offset) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrCat(name(), ": ", length, " bytes at offset ", offset,
                   " reach past the end of the ", what, " (", size, " bytes)"));
}

absl::Status SnapshotDisk::ReadAt(uint64_t offset,
                                  std::span<std::byte> buffer) {
  // Deleting the snapshot waits for this.
  const RangeLock::Holder holder(core_.ranges, offset, offset + buffer.size(),
                                 RangeLock::Mode::kShared);
  {
    MutexLock held(&core_.mutex);
    RETURN_IF_ERROR(CheckStillThere());
  }
  return ReadGuest(core_, &l1_, offset, buffer);
}

absl::Status SnapshotDisk::Read(uint64_t offset, std::span<std::byte> buffer) {
  RETURN_IF_ERROR(CheckRange(offset, buffer.size(), size_bytes_, "disk"));
  return ReadAt(offset, buffer);
}

absl::Status SnapshotDisk::ReadVmState(uint64_t position,
                                       std::span<std::byte> buffer) {
  RETURN_IF_ERROR(
      CheckRange(position, buffer.size(), entry_.vm_state_size(), "VM state"));
  return ReadAt(
      VmStateOffset(core_.metadata->geometry(), size_bytes_) + position,
      buffer);
}

absl::StatusOr<MappedExtent> SnapshotDisk::Map(uint64_t offset,
                                               uint64_t max_length) {
  RETURN_IF_ERROR(CheckRange(offset, 0, size_bytes_, "disk"));
  const uint64_t length = std::min(max_length, size_bytes_ - offset);
  if (length == 0) return MappedExtent();
  MutexLock held(&core_.mutex);
  RETURN_IF_ERROR(CheckStillThere());
  core_.metadata->TrimTables();
  return MapExtent(*core_.metadata, l1_, offset, length);
}

absl::StatusOr<GuestExtent> SnapshotDisk::ExtentAt(uint64_t offset,
                                                   uint64_t max_length) {
  ASSIGN_OR_RETURN(const MappedExtent extent, Map(offset, max_length));
  switch (extent.kind) {
    case MappedKind::kHost:
    case MappedKind::kCompressed:
      return GuestExtent{GuestExtentKind::kData, extent.length_bytes};
    case MappedKind::kZeros:
      return GuestExtent{GuestExtentKind::kZeros, extent.length_bytes};
    case MappedKind::kUnallocated:
      break;
  }
  return GuestExtent{GuestExtentKind::kUnallocated, extent.length_bytes};
}

absl::Status SnapshotDisk::RefuseWrite() const {
  return absl::FailedPreconditionError(
      absl::StrCat(name(), ": a snapshot cannot be written"));
}

absl::Status SnapshotDisk::Write(uint64_t /*offset*/,
                                 std::span<const std::byte> /*data*/) {
  return RefuseWrite();
}

absl::Status SnapshotDisk::WriteZeroes(uint64_t /*offset*/, uint64_t /*length*/,
                                       ZeroMode /*mode*/) {
  return RefuseWrite();
}

absl::Status SnapshotDisk::Discard(uint64_t /*offset*/, uint64_t /*length*/) {
  return RefuseWrite();
}

}  // namespace qcow2
