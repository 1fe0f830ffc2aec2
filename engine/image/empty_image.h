// Taking away all that an image itself has of its disk.
//
// L1 entries go first, on stable storage, and then the counts of what they
// reached: no table is seen emptied that is still counted. Works on the tables
// and the counts; no guest byte is written, though clusters, and what an
// external data file had, are given back to the file system.
#ifndef ENGINE_IMAGE_EMPTY_IMAGE_H_
#define ENGINE_IMAGE_EMPTY_IMAGE_H_

#include "absl/status/status.h"
#include "engine/image/image_core.h"

namespace qcow2 {

// Makes the whole disk unallocated, so that what is below shows. Snapshots and
// VM state stay. For who knows that the disk reads the same from below: nothing
// is noted in dirty bitmaps, and a crash may leave any part of the disk as it
// was, next to leaked clusters.
//
// Has the image to itself meanwhile. FailedPrecondition for one that cannot be
// written, DataLoss for damaged tables, else errors of the file; then part of
// the disk may be left, and clusters leaked.
absl::Status EmptyImage(ImageCore& core);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_EMPTY_IMAGE_H_
