// Comparing two disks.
//
// Only reads.
#ifndef ENGINE_OPERATIONS_COMPARE_H_
#define ENGINE_OPERATIONS_COMPARE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/image/guest_disk.h"
#include "engine/operations/operation_control.h"

namespace qcow2 {

enum class DiskDifference {
  kNone,
  // A byte is not the same.
  kContents,
  // With CompareOptions::strict: one disk has something where the other has
  // nothing, or one has zeros where the other has data.
  kAllocation,
  // With CompareOptions::strict: one disk is longer.
  kSize,
};

struct CompareOptions {
  // Asks for the same size and the same allocation. Else a longer disk is the
  // same if it goes on with zeros, and how bytes are stored makes no
  // difference.
  bool strict = false;
  OperationControl control;
};

struct CompareResult {
  DiskDifference difference = DiskDifference::kNone;
  // The first byte that differs, for kContents and kAllocation.
  uint64_t offset = 0;
  bool same_size = true;
};

// Compares from the front; stops at the first difference. Memory: 2 MiB.
// Cancelled, or the error of reading.
absl::StatusOr<CompareResult> CompareDisks(GuestDisk& a, GuestDisk& b,
                                           const CompareOptions& options);

}  // namespace qcow2

#endif  // ENGINE_OPERATIONS_COMPARE_H_
