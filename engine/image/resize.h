// Making an image's disk longer or shorter.
//
// Whatever point it is cut off at, the disk has its old size or the new one,
// and every byte that both have reads as before.
#ifndef ENGINE_IMAGE_RESIZE_H_
#define ENGINE_IMAGE_RESIZE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "engine/image/create_options.h"
#include "engine/image/image.h"

namespace qcow2 {

struct ResizeOptions {
  // Of what is added.
  Preallocation preallocation = Preallocation::kOff;
  // Whether the disk may become shorter, and what lies behind its new end lost.
  bool allow_shrink = false;
};

// Makes the disk of `image` `size` bytes long. What is added reads as zeros,
// also where the backing disk is longer. What is cut off is given back, and the
// file becomes shorter if nothing is left at its end; snapshots keep their size
// and their VM state. VM state that no snapshot has yet is lost when the place
// where it begins (VmStateOffset in snapshots.h) is another one afterwards. An
// external data file is made as long as the disk.
//
// Others may read and write the image meanwhile, but not behind either end, and
// nobody else may change its size.
//
// InvalidArgument for a size that is no multiple of 512 or needs a larger L1
// table than is possible, or for preallocation of a disk that does not grow;
// FailedPrecondition for an image opened read-only, of version 2 with snapshots
// (which have no size of their own there), or with bitmaps that cannot follow
// (CheckBitmapsCanResize in bitmaps.h), and for shrinking without leave. Then
// nothing has changed. Other errors leave the old size or, if only space was to
// be given back, the new one.
absl::Status ResizeImage(Image& image, uint64_t size,
                         const ResizeOptions& options);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_RESIZE_H_
