// Internal snapshots of an open image: list, create, apply and delete them.
//
// Each function that changes the image takes all of it for itself while it
// runs. A crash at any point leaves the image with the snapshot or without it
// (of Apply: the old disk or the new one), and at worst leaked clusters:
//
//   create  the snapshot's L1 table and the new snapshot table are written to
//           new clusters; counts go up; flush; COPIED is cleared; flush; the
//           header switches to the new snapshot table
//   apply   counts of what the snapshot reaches go up; flush; COPIED is cleared
//           there; flush; the header switches to a copy of its L1 table; counts
//           of what the disk was go down
//   delete  the header switches to a snapshot table without it; COPIED is set
//           on what becomes the disk's alone; flush; counts go down
//
// A reader of a snapshot that leaves it as it is: snapshot_disk.h.
#ifndef ENGINE_IMAGE_SNAPSHOTS_H_
#define ENGINE_IMAGE_SNAPSHOTS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/format/snapshot_table.h"
#include "engine/image/image_core.h"

namespace qcow2 {

// The longest id and name that other programs can deal with, in bytes.
inline constexpr size_t kMaxSnapshotIdBytes = 127;
inline constexpr size_t kMaxSnapshotNameBytes = 255;

// What a new snapshot is to be called and remember.
struct NewSnapshot {
  std::string name;
  // Without one it gets the number after the highest that is an id.
  std::optional<std::string> id = {};
  // When it was taken: seconds since 1970, and nanoseconds.
  uint32_t date_seconds = 0;
  uint32_t date_nanoseconds = 0;
  // For how long the guest had run, nanoseconds.
  uint64_t vm_clock_nanoseconds = 0;
  // Bytes of VM state that WriteVmState stored before; 0: a disk only.
  uint64_t vm_state_size = 0;
  // Instructions the guest had executed, where that is counted.
  std::optional<uint64_t> instruction_count = {};
};

// The snapshots in the order of the image's table.
std::vector<SnapshotEntry> ListSnapshots(ImageCore& core);

// The snapshot with that id, or else the first with that name. NotFound.
absl::StatusOr<SnapshotEntry> FindSnapshot(ImageCore& core,
                                           std::string_view id_or_name);

// Takes a snapshot of the disk as it is; VM state stored before goes with it.
// InvalidArgument for a name or an id that cannot be, AlreadyExists for one
// that is taken, ResourceExhausted where there are as many as there can be,
// OutOfRange where the image's refcounts are too narrow to count one user more,
// FailedPrecondition for an image with an external data file or one opened
// read-only: nothing is changed then. After an error of the file clusters may
// be leaked.
absl::StatusOr<SnapshotEntry> CreateSnapshot(ImageCore& core,
                                             const NewSnapshot& snapshot);

// Makes the disk what it was when the snapshot was taken, its size included;
// what it is now is lost. To bitmaps that record all of the disk has changed.
// NotFound, else errors as above; where the size changes, those of
// CheckBitmapsCanResize (bitmaps.h), too.
absl::Status ApplySnapshot(ImageCore& core, std::string_view id_or_name);

// Deletes the snapshot. NotFound, else errors as above.
absl::Status DeleteSnapshot(ImageCore& core, std::string_view id_or_name);

// Stores bytes of VM state from byte `position` of it on, for the snapshot that
// is created next. They lie behind the disk; the L1 table grows for them.
// ResourceExhausted where it cannot.
absl::Status WriteVmState(ImageCore& core, uint64_t position,
                          std::span<const std::byte> data);

// Where VM state begins, in guest bytes: behind the last window of an L2 table
// that a disk of that size reaches into.
uint64_t VmStateOffset(const Geometry& geometry, uint64_t disk_size_bytes);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_SNAPSHOTS_H_
