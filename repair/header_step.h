// Step: sets fields of the header to the one value that fits the rest of the
// image (rows 113, 116, 125, 126, 128, 132, 136 and 1003).
//
// A field for which the image has no such value stays as it is.
#ifndef REPAIR_HEADER_STEP_H_
#define REPAIR_HEADER_STEP_H_

#include "absl/status/statusor.h"
#include "repair/repair_context.h"

namespace qcow2::repair {

// True if the view was changed.
absl::StatusOr<bool> MendHeaderFields(RepairContext& context);

}  // namespace qcow2::repair

#endif  // REPAIR_HEADER_STEP_H_
