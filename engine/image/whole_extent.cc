#include "engine/image/whole_extent.h"

#include <algorithm>

#include "engine/status_macros.h"

namespace qcow2 {

absl::StatusOr<GuestExtent> WholeExtentAt(GuestDisk& disk, uint64_t offset,
                                          uint64_t max_length) {
  GuestDisk* layer = &disk;
  uint64_t length = max_length;
  while (true) {
    ASSIGN_OR_RETURN(const GuestExtent extent, layer->ExtentAt(offset, length));
    length = extent.length_bytes;
    if (extent.kind != GuestExtentKind::kUnallocated) return extent;
    layer = layer->backing();
    if (layer == nullptr || offset >= layer->size_bytes()) {
      return GuestExtent{GuestExtentKind::kUnallocated, length};
    }
    length = std::min(length, layer->size_bytes() - offset);
  }
}

absl::StatusOr<GuestExtent> KnownExtent::At(
    uint64_t offset, const std::function<absl::StatusOr<GuestExtent>()>& ask) {
  if (offset < begin_ || offset >= end_) {
    ASSIGN_OR_RETURN(extent_, ask());
    begin_ = offset;
    end_ = offset + extent_.length_bytes;
  }
  return GuestExtent{extent_.kind, end_ - offset};
}

}  // namespace qcow2
