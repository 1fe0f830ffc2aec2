#include "nbdkit/extents.h"

#include <algorithm>

#include "absl/status/statusor.h"
#include "engine/image/whole_extent.h"
#include "engine/status_macros.h"

namespace qcow2::nbdkit {
namespace {

// So many extents are looked up for one request, so that one of a large and
// scattered disk does not take for ever; the client asks again for the rest.
constexpr int kMaxExtents = 1 << 16;

absl::StatusOr<GuestExtent> ExtentOfDamaged(GuestDisk& disk, uint64_t offset,
                                            uint64_t length,
                                            uint64_t piece_bytes) {
  const uint64_t piece = std::min(length, piece_bytes - offset % piece_bytes);
  absl::StatusOr<GuestExtent> extent = WholeExtentAt(disk, offset, piece);
  if (extent.ok()) return extent;
  return GuestExtent{GuestExtentKind::kData, piece};
}

}  // namespace

absl::Status ForEachExtent(
    GuestDisk& disk, const ExtentRequest& request,
    const std::function<absl::Status(uint64_t offset, uint64_t length,
                                     bool zeros)>& add) {
  uint64_t done = 0;
  for (int i = 0; i < kMaxExtents && done < request.length; ++i) {
    const uint64_t offset = request.offset + done;
    const uint64_t left = request.length - done;
    absl::StatusOr<GuestExtent> extent = WholeExtentAt(disk, offset, left);
    if (!extent.ok() && request.damaged_piece_bytes != 0) {
      extent = ExtentOfDamaged(disk, offset, left, request.damaged_piece_bytes);
    }
    RETURN_IF_ERROR(extent.status());
    RETURN_IF_ERROR(add(offset, extent->length_bytes,
                        extent->kind != GuestExtentKind::kData));
    done += extent->length_bytes;
    if (request.only_first) break;
  }
  return absl::OkStatus();
}

}  // namespace qcow2::nbdkit
