// The part of an upgrade that concerns snapshots.
//
// Writes a new snapshot table to clusters of its own.
#ifndef ENGINE_IMAGE_AMEND_SNAPSHOT_TABLE_H_
#define ENGINE_IMAGE_AMEND_SNAPSHOT_TABLE_H_

#include "absl/status/status.h"
#include "engine/image/metadata.h"

namespace qcow2 {

// Sees to it that each snapshot says how long its VM state and its disk are, as
// version 3 asks. One that did not say so has the disk's size: in version 2
// that cannot change. Does nothing where all say so.
absl::Status CompleteSnapshotTable(Metadata& metadata);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_AMEND_SNAPSHOT_TABLE_H_
