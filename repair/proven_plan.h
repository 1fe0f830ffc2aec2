// A plan that can be proven: the whole repair if possible, or else as much of
// it as can be, so that one thing that nobody can vouch for does not keep all
// the rest from being mended.
//
// Reads the image; writes only to views of it.
#ifndef REPAIR_PROVEN_PLAN_H_
#define REPAIR_PROVEN_PLAN_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/storage/file.h"
#include "engine/storage/overlay_file.h"
#include "repair/planner.h"
#include "repair/proof.h"
#include "repair/repair_options.h"

namespace qcow2::repair {

// A fresh overlay on a file, and what it keeps changes in that are too many
// for memory; null: it keeps them all in memory.
struct PlanView {
  std::unique_ptr<File> scratch;
  std::unique_ptr<OverlayFile> overlay;
};
using MakePlanView = std::function<absl::StatusOr<PlanView>(const File& base)>;

struct ProvenPlan {
  PlanView view;
  PlannedRepair planned;
  // Of `planned`; not set if the plan is empty or was cancelled.
  std::optional<ProofResult> proof;
};

// Plans the repair of `image`, called `path` in reports, and proves the plan.
//
// If that fails, plans are made that leave one of the steps out that the first
// one took. Of those that are proven and settle, so that repairing what they
// make would change nothing more, the one is returned that leaves the least
// damage; a note of the plan says what was left out, and why. If there is none,
// the first plan is returned with its proof.
//
// Errors are those of PlanRepair and of `make_view`.
absl::StatusOr<ProvenPlan> PlanWithProof(const File& image,
                                         const std::string& path,
                                         const RepairOptions& options,
                                         const MakePlanView& make_view);

}  // namespace qcow2::repair

#endif  // REPAIR_PROVEN_PLAN_H_
