// What a disk with all that is below it is made of.
#ifndef ENGINE_IMAGE_WHOLE_EXTENT_H_
#define ENGINE_IMAGE_WHOLE_EXTENT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/image/guest_disk.h"

namespace qcow2 {

// What lies at `offset` of `disk`, at most `max_length` bytes of it, as the
// first layer has it that says anything: kUnallocated if none does, which reads
// as zeros. Errors are those of GuestDisk::ExtentAt.
absl::StatusOr<GuestExtent> WholeExtentAt(GuestDisk& disk, uint64_t offset,
                                          uint64_t max_length);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_WHOLE_EXTENT_H_
