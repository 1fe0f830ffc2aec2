// Step: mends the persistent bitmaps, or drops what cannot be mended (rows 801
// to 810 and 812).
//
// No guest data is at stake, only what the next incremental backup copies. It
// must not miss a change, so that a bitmap is kept as good only if it says no
// less than it did: a damaged part of one becomes "all changed". A bitmap that
// may be another one, or of another size, is marked as in use, by which
// programs know not to trust it. What remains is dropped from the directory;
// with the last bitmap the extension and the autoclear bit go, too.
#ifndef REPAIR_BITMAP_STEP_H_
#define REPAIR_BITMAP_STEP_H_

#include "absl/status/statusor.h"
#include "repair/repair_context.h"

namespace qcow2::repair {

// True if the view was changed.
absl::StatusOr<bool> MendBitmaps(RepairContext& context);

}  // namespace qcow2::repair

#endif  // REPAIR_BITMAP_STEP_H_
