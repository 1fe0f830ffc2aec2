// Step: writes the header extensions anew without the damage (rows 201 to 204,
// 906, 1006 and 1014).
//
// A damaged extension is mended where its type says what it must look like,
// else left out; all others stay byte for byte, unknown ones too. Never left
// out: what locates the LUKS header of an encrypted image, the name of the data
// file of an image that has one, the format of a backing file.
#ifndef REPAIR_EXTENSION_STEP_H_
#define REPAIR_EXTENSION_STEP_H_

#include "absl/status/statusor.h"
#include "repair/repair_context.h"

namespace qcow2::repair {

// True if the view was changed.
absl::StatusOr<bool> MendHeaderExtensions(RepairContext& context);

}  // namespace qcow2::repair

#endif  // REPAIR_EXTENSION_STEP_H_
