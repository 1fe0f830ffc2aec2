// Step: mends the entries of L1 tables, active and inactive (rows 401 to 403
// and 408), and entries that name the wrong L2 table by a bit.
#ifndef REPAIR_L1_ENTRY_STEP_H_
#define REPAIR_L1_ENTRY_STEP_H_

#include "absl/status/statusor.h"
#include "repair/repair_context.h"

namespace qcow2::repair {

// Mends what evidence explains; what nothing explains stays, or, to salvage the
// rest, is cleared. An entry past the end of the file is cleared: it reads as
// no L2 table already. What cannot be read or lies in a cluster that has
// another owner is left alone. True if the view was changed.
absl::StatusOr<bool> MendL1Entries(RepairContext& context);

}  // namespace qcow2::repair

#endif  // REPAIR_L1_ENTRY_STEP_H_
