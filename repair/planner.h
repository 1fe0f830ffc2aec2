// Planning a repair: checks a view of the image, mends one kind of damage in
// it, checks again, until nothing is left that can be mended.
//
// Reads the image; writes only to the view.
#ifndef REPAIR_PLANNER_H_
#define REPAIR_PLANNER_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "checker/graph.h"
#include "checker/report.h"
#include "engine/storage/file.h"
#include "engine/storage/overlay_file.h"
#include "repair/plan.h"
#include "repair/repair_options.h"

namespace qcow2::repair {

struct PlannedRepair {
  // Of the image as it is, and of the view as planned. The lists of findings
  // are those planning needed: at least as long as the caller's check options
  // say.
  checker::CheckReport before;
  checker::CheckReport after;
  // What the check of the untouched image learnt of its structure.
  checker::Graph graph_before;
  checker::Graph graph_after;
  Plan plan;
  // The names of the steps that changed something, in the order of their first
  // change.
  std::vector<std::string_view> steps_taken;
  // Why planning ended early, with the rest of the damage left; empty if all
  // steps were tried to the end.
  std::string stopped;
};

// Plans the repair of `image`, called `path` in reports, in `view`, a fresh
// overlay on it. What cannot be mended stays and is in `after`. An error
// when the view cannot be written or read; a check that was cancelled ends
// planning with `after.cancelled` set. kResourceExhausted when the references
// do not fit `options.check.memory_limit_bytes` all at once.
absl::StatusOr<PlannedRepair> PlanRepair(const File& image,
                                         const std::string& path,
                                         OverlayFile& view,
                                         const RepairOptions& options);

}  // namespace qcow2::repair

#endif  // REPAIR_PLANNER_H_
