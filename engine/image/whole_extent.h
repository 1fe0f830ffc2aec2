// What a disk with all that is below it is made of.
#ifndef ENGINE_IMAGE_WHOLE_EXTENT_H_
#define ENGINE_IMAGE_WHOLE_EXTENT_H_

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "engine/image/guest_disk.h"

namespace qcow2 {

// What lies at `offset` of `disk`, at most `max_length` bytes of it, as the
// first layer has it that says anything: kUnallocated if none does, which reads
// as zeros. Errors are those of GuestDisk::ExtentAt.
absl::StatusOr<GuestExtent> WholeExtentAt(GuestDisk& disk, uint64_t offset,
                                          uint64_t max_length);

// The extent that was asked for last. To find where one ends can take a file
// system as long as the extent is: who goes through a disk in small steps does
// not ask again at each of them.
class KnownExtent {
 public:
  // The rest of it from `offset` on; where it does not reach, what `ask` says
  // lies there becomes the known one.
  absl::StatusOr<GuestExtent> At(
      uint64_t offset, const std::function<absl::StatusOr<GuestExtent>()>& ask);

 private:
  GuestExtent extent_;
  uint64_t begin_ = 0;
  uint64_t end_ = 0;
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_WHOLE_EXTENT_H_
