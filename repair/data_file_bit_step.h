// Step: sets the feature bit of an external data file where it was lost.
#ifndef REPAIR_DATA_FILE_BIT_STEP_H_
#define REPAIR_DATA_FILE_BIT_STEP_H_

#include "absl/status/statusor.h"
#include "repair/repair_context.h"

namespace qcow2::repair {

// Sets the bit if the image names a data file, is damaged without the bit, and
// a check finds neither corruption nor leak in its structure with it: without
// the bit the places of guest data in that file are taken for places in this
// one. Whether the data file is there is no matter. True if the view was
// changed.
absl::StatusOr<bool> MendDataFileBit(RepairContext& context);

}  // namespace qcow2::repair

#endif  // REPAIR_DATA_FILE_BIT_STEP_H_
