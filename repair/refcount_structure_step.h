// Step: makes sure that there is a refcount table with a block for every
// cluster in use, none of them damaged or used by anything else, and wide
// enough for every count (rows 114 to 118, 301 to 307 and 314).
//
// Damaged structures are left where they lie and made anew in free clusters;
// what the counts in new blocks should be is the next step's part.
#ifndef REPAIR_REFCOUNT_STRUCTURE_STEP_H_
#define REPAIR_REFCOUNT_STRUCTURE_STEP_H_

#include "absl/status/statusor.h"
#include "repair/repair_context.h"

namespace qcow2::repair {

// True if the view was changed.
absl::StatusOr<bool> MendRefcountStructures(RepairContext& context);

}  // namespace qcow2::repair

#endif  // REPAIR_REFCOUNT_STRUCTURE_STEP_H_
