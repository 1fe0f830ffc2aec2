#include "engine/image/amend_snapshot_table.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "engine/format/byte_order.h"
#include "engine/format/snapshot_table.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

constexpr size_t kDiskSizeAt = 8;

// True if `entry` was changed.
bool Complete(SnapshotEntry& entry, uint64_t disk_size) {
  if (entry.extra_data.size() >= kSnapshotExtraSizeV3) return false;
  const uint64_t vm_state = entry.vm_state_size();
  entry.extra_data.resize(kSnapshotExtraSizeV3);
  StoreBe64(entry.extra_data.data(), vm_state);
  StoreBe64(entry.extra_data.data() + kDiskSizeAt, disk_size);
  return true;
}

}  // namespace

absl::Status CompleteSnapshotTable(Metadata& metadata) {
  std::vector<SnapshotEntry> snapshots = metadata.snapshots();
  bool changed = false;
  for (SnapshotEntry& entry : snapshots) {
    if (Complete(entry, metadata.header().size)) changed = true;
  }
  if (!changed) return absl::OkStatus();
  const Geometry& geometry = metadata.geometry();
  const ClusterRun before{
      geometry.ClusterOf(metadata.header().snapshots_offset),
      geometry.ClustersFor(EncodeSnapshotTable(metadata.snapshots()).size())};
  std::vector<std::byte> bytes = EncodeSnapshotTable(snapshots);
  const uint64_t clusters = geometry.ClustersFor(bytes.size());
  bytes.resize(clusters << geometry.cluster_bits());
  ASSIGN_OR_RETURN(const HostCluster first, metadata.AllocateTable(clusters));
  const HostOffset offset = geometry.OffsetOf(first);
  RETURN_IF_ERROR(metadata.GuardWrite({offset.value(), bytes.size()}));
  metadata.NoteDataWritten();
  RETURN_IF_ERROR(metadata.file().Pwrite(offset.value(), bytes));
  HeaderArea next = metadata.area();
  next.header.snapshots_offset = offset;
  RETURN_IF_ERROR(
      metadata.SwitchSnapshots(std::move(next), std::move(snapshots)));
  metadata.FreeLater(before, FreeReason::kOther);
  return absl::OkStatus();
}

}  // namespace qcow2
