// Giving clusters that read as zeros places of their own.
//
// Part of resizing; changes mappings that have no data.
#ifndef ENGINE_IMAGE_RESIZE_PREALLOCATE_H_
#define ENGINE_IMAGE_RESIZE_PREALLOCATE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "engine/image/create_options.h"
#include "engine/image/image_core.h"

namespace qcow2 {

// Gives each guest cluster that begins in [begin, end) a host cluster, and that
// its space as `preallocation` says, if it has none. REQUIRES: they read as
// zeros, and still do so afterwards; the L1 table reaches to `end`, and nobody
// else uses them. Unimplemented for encrypted images of version 2, in which no
// entry can say that. Takes the whole image.
absl::Status PreallocateGuest(ImageCore& core, uint64_t begin, uint64_t end,
                              Preallocation preallocation);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_RESIZE_PREALLOCATE_H_
