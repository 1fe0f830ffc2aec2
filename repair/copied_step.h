// Step: makes the COPIED flags of the active tables agree with the references
// found (rows 404, 405, 504, 505 and 515). And the step that, before a leak is
// freed, sets the flag it had kept clear.
#ifndef REPAIR_COPIED_STEP_H_
#define REPAIR_COPIED_STEP_H_

#include "absl/status/statusor.h"
#include "repair/repair_context.h"

namespace qcow2::repair {

// True if the view was changed.
absl::StatusOr<bool> MendCopiedFlags(RepairContext& context);

// Sets COPIED where the one reference to a cluster does not have it because the
// cluster's count is too high: once that is corrected, nothing else would say
// so. Changes no other flag. True if the view was changed.
absl::StatusOr<bool> SetCopiedOfLeaks(RepairContext& context);

}  // namespace qcow2::repair

#endif  // REPAIR_COPIED_STEP_H_
