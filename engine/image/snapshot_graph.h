// What an L1 table reaches: the counts of it all go up when a snapshot takes
// it, and down when nothing does any more; COPIED flags follow.
//
// Works on Metadata, under its lock, one L2 table at a time: what is in memory
// does not grow with the disk. The order in which these functions are called,
// and the flushes between them, are snapshots.h's business.
#ifndef ENGINE_IMAGE_SNAPSHOT_GRAPH_H_
#define ENGINE_IMAGE_SNAPSHOT_GRAPH_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/format/snapshot_table.h"
#include "engine/image/metadata.h"

namespace qcow2 {

// The entries of a snapshot's L1 table. DataLoss if the file does not have all
// of it.
absl::StatusOr<std::vector<uint64_t>> ReadSnapshotL1(
    Metadata& metadata, const SnapshotEntry& snapshot);

// Counts the L2 tables that `l1` names once more, and for each of them every
// cluster it names. After an error nothing is counted more than before:
// OutOfRange where a count does not fit, DataLoss for damaged tables.
absl::Status CountGraph(Metadata& metadata, std::span<const uint64_t> l1);

// The opposite. Nothing on stable storage may name `l1` any more. After an
// error some of it is leaked.
absl::Status UncountGraph(Metadata& metadata, std::span<const uint64_t> l1,
                          FreeReason reason = FreeReason::kSnapshot);

// Clears COPIED in the L2 tables that `l1` names, where they are. Their counts
// must be above 1 on stable storage.
absl::Status ClearCopiedInL2(Metadata& metadata, std::span<const uint64_t> l1);
// Clears it in the active L1 table, and in the L2 tables it names.
absl::Status ClearCopied(Metadata& metadata);

// Sets COPIED in the active tables on what will be theirs alone once the graph
// of `leaving`, a snapshot's L1 table, is uncounted. Only where `leaving` has
// an L2 table; it is taken to name no cluster elsewhere than the active table
// does, which SetCopied() makes up for.
absl::Status SetCopiedBefore(Metadata& metadata,
                             std::span<const uint64_t> leaving);
// Sets COPIED in the active tables on what is counted once.
absl::Status SetCopied(Metadata& metadata);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_SNAPSHOT_GRAPH_H_
