// Step: mends the entries of L2 tables, active and inactive (rows 501 to 503
// and 506 to 512), and entries that name the wrong cluster by a bit.
#ifndef REPAIR_L2_ENTRY_STEP_H_
#define REPAIR_L2_ENTRY_STEP_H_

#include "absl/status/statusor.h"
#include "repair/repair_context.h"

namespace qcow2::repair {

// Mends what evidence explains; what nothing explains stays, or, to salvage the
// rest, is made to read as zeros. What cannot be read, lies in a cluster that
// has another owner, or was overwritten as a whole is left alone (the last
// only if nothing is to be given up). True if the view was changed.
absl::StatusOr<bool> MendL2Entries(RepairContext& context);

}  // namespace qcow2::repair

#endif  // REPAIR_L2_ENTRY_STEP_H_
