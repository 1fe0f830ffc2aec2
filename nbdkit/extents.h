// What a range of a disk is made of, as an NBD client asks for it
// (base:allocation).
#ifndef NBDKIT_EXTENTS_H_
#define NBDKIT_EXTENTS_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "engine/image/guest_disk.h"

namespace qcow2::nbdkit {

// How a disk's extents are asked for.
struct ExtentRequest {
  uint64_t offset = 0;
  uint64_t length = 0;  // not 0; the range lies inside the disk
  bool only_first = false;
  // Where this is not 0, a piece of the disk of that size and alignment that
  // cannot be looked up is told as data: reading it says what is wrong.
  uint64_t damaged_piece_bytes = 0;
};

// Calls `add` for the extents of the range from its beginning on, in order;
// perhaps not up to its end, but for one at least. Zeros and what no layer has
// are one. Returns the first error, of the disk or of `add`.
absl::Status ForEachExtent(
    GuestDisk& disk, const ExtentRequest& request,
    const std::function<absl::Status(uint64_t offset, uint64_t length,
                                     bool zeros)>& add);

}  // namespace qcow2::nbdkit

#endif  // NBDKIT_EXTENTS_H_
