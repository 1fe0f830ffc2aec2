// Persistent dirty bitmaps of an image that is written: those that record are
// marked in use before the first byte of the disk changes, so that nobody takes
// them for complete afterwards.
//
// Writes flags in the bitmap directory, and the header where that is damaged.
#ifndef ENGINE_IMAGE_BITMAP_MARKS_H_
#define ENGINE_IMAGE_BITMAP_MARKS_H_

#include "absl/status/status.h"
#include "engine/image/metadata.h"

namespace qcow2 {

// Whether the image has bitmaps that are said to be up to date.
bool HasConsistentBitmaps(const Metadata& metadata);

// Sets the in_use flag of each bitmap that records, and returns when that is on
// stable storage. Bitmaps that do not record stay as they are: they do not
// follow the disk. A directory that cannot be understood is given up as a
// whole: the header's bitmaps bit is cleared, which says that no bitmap of the
// image is up to date.
absl::Status MarkBitmapsInUse(Metadata& metadata);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_BITMAP_MARKS_H_
