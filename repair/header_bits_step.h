// Step: clears the dirty and corrupt bits once everything else is in order.
#ifndef REPAIR_HEADER_BITS_STEP_H_
#define REPAIR_HEADER_BITS_STEP_H_

#include "absl/status/statusor.h"
#include "repair/repair_context.h"

namespace qcow2::repair {

// Clears both bits when nothing but them was found and all could be read. True
// if the view was changed.
absl::StatusOr<bool> ClearHeaderBits(RepairContext& context);

}  // namespace qcow2::repair

#endif  // REPAIR_HEADER_BITS_STEP_H_
