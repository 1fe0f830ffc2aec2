// Step: mends the snapshot table (rows 119 to 121 and 701 to 711).
//
// Entries are mended where the rest of the image says what they must hold; the
// table is then written anew. Snapshots are given up in salvage only: damaged
// ones that the options name, and those of which the table has no entry that
// can be read. Else an entry goes only when the file has nothing of it: the
// table lies past the end of the file, and no cluster is left over that any
// snapshot could have used. (`qemu-img check -r all` gives up more: snapshots
// past the table's limit of 64 MiB, and it makes entries out of zeros.)
#ifndef REPAIR_SNAPSHOT_STEP_H_
#define REPAIR_SNAPSHOT_STEP_H_

#include "absl/status/statusor.h"
#include "repair/repair_context.h"

namespace qcow2::repair {

// True if the view was changed.
absl::StatusOr<bool> MendSnapshotTable(RepairContext& context);

}  // namespace qcow2::repair

#endif  // REPAIR_SNAPSHOT_STEP_H_
