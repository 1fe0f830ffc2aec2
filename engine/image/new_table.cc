#include "engine/image/new_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/format/byte_order.h"
#include "engine/format/header.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// Where the extra data says how long the disk is.
constexpr size_t kDiskSizeAt = 8;

}  // namespace

absl::StatusOr<ClusterRun> WriteNewTable(Metadata& metadata,
                                         std::span<const std::byte> bytes) {
  const Geometry& geometry = metadata.geometry();
  ClusterRun run{HostCluster(0), geometry.ClustersFor(bytes.size())};
  if (run.clusters == 0) return run;
  ASSIGN_OR_RETURN(run.first, metadata.AllocateTable(run.clusters));
  const HostOffset offset = geometry.OffsetOf(run.first);
  std::vector<std::byte> clusters(run.clusters << geometry.cluster_bits());
  std::copy(bytes.begin(), bytes.end(), clusters.begin());
  absl::Status status = metadata.GuardWrite({offset.value(), clusters.size()});
  if (status.ok()) {
    metadata.NoteDataWritten();
    status = metadata.file().Pwrite(offset.value(), clusters);
  }
  if (!status.ok()) {
    metadata.FreeLater(run, FreeReason::kNever);
    return status;
  }
  return run;
}

bool CompleteSnapshots(std::vector<SnapshotEntry>& snapshots,
                       uint64_t disk_size) {
  bool changed = false;
  for (SnapshotEntry& entry : snapshots) {
    if (entry.extra_data.size() >= kSnapshotExtraSizeV3) continue;
    const uint64_t vm_state_size = entry.vm_state_size();
    const uint64_t entry_disk_size = entry.disk_size().value_or(disk_size);
    entry.extra_data.resize(kSnapshotExtraSizeV3);
    StoreBe64(entry.extra_data.data(), vm_state_size);
    StoreBe64(entry.extra_data.data() + kDiskSizeAt, entry_disk_size);
    changed = true;
  }
  return changed;
}

absl::StatusOr<ClusterRun> WriteNewSnapshotTable(
    Metadata& metadata, const std::vector<SnapshotEntry>& snapshots) {
  const std::vector<std::byte> bytes = EncodeSnapshotTable(snapshots);
  if (bytes.size() > kMaxSnapshotTableBytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        metadata.file().name(), ": the snapshot table would have ",
        bytes.size(), " bytes, more than ", kMaxSnapshotTableBytes));
  }
  return WriteNewTable(metadata, bytes);
}

absl::Status SwitchToSnapshotTable(Metadata& metadata, ClusterRun table,
                                   std::vector<SnapshotEntry> snapshots) {
  HeaderArea next = metadata.area();
  next.header.nb_snapshots = static_cast<uint32_t>(snapshots.size());
  next.header.snapshots_offset = metadata.geometry().OffsetOf(table.first);
  return metadata.SwitchSnapshots(std::move(next), std::move(snapshots));
}

}  // namespace qcow2
