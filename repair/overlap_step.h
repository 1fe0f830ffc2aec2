// Step: gives every owner of a shared cluster clusters of its own (rows 601 and
// 602), and every L1 entry an L2 table of its own (row 407).
#ifndef REPAIR_OVERLAP_STEP_H_
#define REPAIR_OVERLAP_STEP_H_

#include "absl/status/statusor.h"
#include "repair/repair_context.h"

namespace qcow2::repair {

// Copies what has to move to free clusters and re-points whatever names it;
// what it leaves keeps its bytes. All or nothing: where there is no room, or
// more to move than memory should hold, the findings stay and the plan has a
// note. Refcounts, and overlaps in which all owners but one are refcount
// structures, are for the steps after this one. True if the view was changed.
absl::StatusOr<bool> SeparateOverlaps(RepairContext& context);

}  // namespace qcow2::repair

#endif  // REPAIR_OVERLAP_STEP_H_
