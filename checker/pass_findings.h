// What the passes over header, snapshots, bitmaps and extensions have in common
// when they tell what they found: findings about the header, ranges that could
// not be read, regions of metadata.
//
// Writes to the state of the check only.
#ifndef CHECKER_PASS_FINDINGS_H_
#define CHECKER_PASS_FINDINGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checker/check_state.h"

namespace qcow2::checker {

// The largest offset a read of QEMU's may end at: the largest signed integer,
// rounded down to 1 GiB. Tables beyond it make it give up on the image.
inline constexpr uint64_t kQemuMaxOffset = (uint64_t{1} << 63) - (1u << 30);

// Whether [offset, offset + length) ends within what QEMU can address.
inline bool IsAddressable(uint64_t offset_bytes, uint64_t length_bytes) {
  return length_bytes <= kQemuMaxOffset &&
         offset_bytes <= kQemuMaxOffset - length_bytes;
}

// A finding about `field` of the header.
Finding HeaderFinding(Problem problem, std::string_view field,
                      std::optional<uint64_t> actual = std::nullopt,
                      std::optional<uint64_t> expected = std::nullopt,
                      std::string detail = "");

// The host clusters that [offset, offset + length) touches.
HostRun RunOf(const Geometry& geometry, uint64_t offset_bytes,
              uint64_t length_bytes);

// Reports bad spots in the structure at `location` as range-unreadable, and
// notes that references may be missing.
void ReportUnreadable(CheckState& state, const Location& location,
                      const std::vector<UnreadableRange>& ranges);

// Adds `region`, as far as it lies inside the file, to the model. A region that
// reaches past the end by a cluster or more is dropped as a whole when counting
// like `qemu-img check`. Nothing is added for an empty region.
void AddRegion(CheckState& state, MetadataRegion region);

}  // namespace qcow2::checker

#endif  // CHECKER_PASS_FINDINGS_H_
