// Where each structure of a new image lies.
//
// Pure arithmetic, no I/O. A new image has its structures one after the other
// in the order people know from qemu-img's images, each in whole clusters:
//
//   header | refcount table | refcount blocks | L1 table | LUKS area |
//   L2 tables | guest data
//
// The last three only where asked for. All refcount blocks lie together, and
// so do the L2 tables and the data: the counts of the whole image are one run
// of ones, and a guest cluster's place follows from its number.
#ifndef ENGINE_IMAGE_IMAGE_LAYOUT_H_
#define ENGINE_IMAGE_IMAGE_LAYOUT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/format/geometry.h"
#include "engine/format/types.h"

namespace qcow2 {

struct LayoutRequest {
  Geometry geometry;
  // Bytes of the virtual disk.
  uint64_t virtual_size = 0;
  // Bytes of the LUKS header and its key material; 0: none.
  uint64_t luks_bytes = 0;
  // Whether each guest cluster gets a place now.
  bool preallocated = false;
  // Whether those places are in another file, each at the guest cluster's own
  // offset.
  bool external_data_file = false;
};

// Offsets are bytes of the image file; of what is not there they are 0.
struct ImageLayout {
  HostOffset refcount_table = {};
  uint64_t refcount_table_clusters = 0;
  HostOffset refcount_blocks = {};
  uint64_t refcount_block_count = 0;
  HostOffset l1_table = {};
  uint64_t l1_entries = 0;
  HostOffset luks_area = {};
  uint64_t luks_clusters = 0;
  HostOffset l2_tables = {};
  uint64_t l2_table_count = 0;
  // Where the first guest cluster is: 0 with an external data file.
  HostOffset guest_data = {};
  // The guest clusters that have a place, in whichever file.
  uint64_t guest_clusters = 0;
  // All clusters of the image file, each in use once.
  uint64_t clusters = 0;

  friend bool operator==(const ImageLayout&, const ImageLayout&) = default;
};

// The layout for `request`. InvalidArgument if the L1 table or the refcount
// table would be longer than the format's users accept (32 and 8 MiB), or a
// cluster's place lies at 2^56 or beyond.
absl::StatusOr<ImageLayout> PlanImageLayout(const LayoutRequest& request);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_IMAGE_LAYOUT_H_
