// Tables written to clusters of their own, before anything names them.
//
// Counts clusters and writes them.
#ifndef ENGINE_IMAGE_NEW_TABLE_H_
#define ENGINE_IMAGE_NEW_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/format/snapshot_table.h"
#include "engine/image/metadata.h"

namespace qcow2 {

// Writes `bytes`, and zeros up to the end of the last cluster, to new clusters
// side by side; for no bytes there are none. Nothing stays counted where that
// fails.
absl::StatusOr<ClusterRun> WriteNewTable(Metadata& metadata,
                                         std::span<const std::byte> bytes);

// Sees to it that each snapshot says how long its VM state and its disk are, as
// version 3 asks. One that did not say so has a disk of `disk_size` bytes: in
// version 2 that cannot change. True if any was changed.
bool CompleteSnapshots(std::vector<SnapshotEntry>& snapshots,
                       uint64_t disk_size);

// Writes a snapshot table with these entries. ResourceExhausted if it would be
// too long.
absl::StatusOr<ClusterRun> WriteNewSnapshotTable(
    Metadata& metadata, const std::vector<SnapshotEntry>& snapshots);

// Makes that table, of these entries, the image's; the old one is given back.
absl::Status SwitchToSnapshotTable(Metadata& metadata, ClusterRun table,
                                   std::vector<SnapshotEntry> snapshots);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_NEW_TABLE_H_
