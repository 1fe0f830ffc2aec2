// Steps: make the stored refcounts agree with the references found, in the
// blocks that are there (rows 310 to 313).
#ifndef REPAIR_REFCOUNT_STEP_H_
#define REPAIR_REFCOUNT_STEP_H_

#include "absl/status/statusor.h"
#include "repair/repair_context.h"

namespace qcow2::repair {

// Corrects every count that can be: not those of clusters whose owners still
// overlap, and not those of leaked clusters that may be the rest of guest data
// (unless the options say so). True if the view was changed.
absl::StatusOr<bool> MendRefcounts(RepairContext& context);

// Only lowers counts: of leaked clusters to zero, of others to the references
// found. True if the view was changed.
absl::StatusOr<bool> FreeLeaks(RepairContext& context);

}  // namespace qcow2::repair

#endif  // REPAIR_REFCOUNT_STEP_H_
