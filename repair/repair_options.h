// What a repair may do, as its caller decides.
//
// Values only.
#ifndef REPAIR_REPAIR_OPTIONS_H_
#define REPAIR_REPAIR_OPTIONS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checker/check.h"
#include "repair/plan.h"

namespace qcow2::repair {

// What all references together may take unless told otherwise: more than in a
// check, which can do with a part of them at a time. Enough for 64 TiB in
// clusters of 64 KiB.
inline constexpr uint64_t kDefaultReferenceMemoryBytes = uint64_t{1} << 30;

struct RepairOptions {
  Mode mode = Mode::kAll;
  // Also free leaked clusters that look like the rest of guest data.
  bool free_suspects = false;
  // Snapshots that salvage may drop, by name or ID.
  std::vector<std::string> drop_snapshots;
  // Whether the file may become longer; a block device may not.
  bool can_grow = true;
  // The step (steps.h) that is not to be taken, by name; empty: all are.
  std::string_view step_left_out;
  // Overlap classes, threads, cancellation, progress, other files. What
  // concerns the report's length is the planner's own affair.
  checker::CheckOptions check;
};

}  // namespace qcow2::repair

#endif  // REPAIR_REPAIR_OPTIONS_H_
