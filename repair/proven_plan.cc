#include "repair/proven_plan.h"

#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "checker/report.h"
#include "engine/status_macros.h"

namespace qcow2::repair {
namespace {

bool Cancelled(const PlannedRepair& planned, const RepairOptions& options) {
  return planned.before.cancelled || planned.after.cancelled ||
         (options.check.cancel != nullptr && *options.check.cancel);
}

bool IsProven(const ProvenPlan& plan) {
  return plan.proof.has_value() && plan.proof->ok;
}

// What a plan leaves: corruptions first, then leaks.
std::pair<uint64_t, uint64_t> DamageLeft(const ProvenPlan& plan) {
  const checker::Counts& counts = plan.planned.after.counts;
  return {counts.corruptions, counts.leaks};
}

class ProvenPlanner {
 public:
  ProvenPlanner(const File& image, const std::string& path,
                const RepairOptions& options, const MakePlanView& make_view)
      : image_(image), path_(path), options_(options), make_view_(make_view) {}

  absl::StatusOr<ProvenPlan> Run() const;

 private:
  absl::StatusOr<ProvenPlan> Try(std::string_view step_left_out) const;
  // Whether the repair of what `plan` makes would change nothing.
  absl::StatusOr<bool> Settles(const ProvenPlan& plan) const;

  const File& image_;
  const std::string& path_;
  const RepairOptions& options_;
  const MakePlanView& make_view_;
};

absl::StatusOr<ProvenPlan> ProvenPlanner::Try(
    std::string_view step_left_out) const {
  RepairOptions options = options_;
  options.step_left_out = step_left_out;
  // Filled by the first of all checks, that of the image as it was found.
  if (!step_left_out.empty()) options.check.ownership = nullptr;
  ProvenPlan plan;
  ASSIGN_OR_RETURN(plan.view, make_view_(image_));
  ASSIGN_OR_RETURN(plan.planned,
                   PlanRepair(image_, path_, *plan.view.overlay, options));
  if (plan.planned.plan.empty() || Cancelled(plan.planned, options_)) {
    return plan;
  }
  plan.proof = Prove(image_, *plan.view.overlay, plan.planned,
                     {.cancel = options_.check.cancel});
  return plan;
}

std::string NoteOf(std::string_view step, const ProofResult& proof) {
  std::string note = absl::StrCat(
      "what the step \"", std::string(step),
      "\" would mend stays as it is, since with it the plan could not be "
      "proven");
  if (!proof.failures.empty()) {
    absl::StrAppend(&note, ": ", proof.failures.front().message);
  }
  return note;
}

absl::StatusOr<bool> ProvenPlanner::Settles(const ProvenPlan& plan) const {
  RepairOptions options = options_;
  options.check.ownership = nullptr;
  const ProvenPlanner next(*plan.view.overlay, path_, options, make_view_);
  ASSIGN_OR_RETURN(const ProvenPlan whole, next.Try({}));
  if (!whole.proof.has_value()) return !Cancelled(whole.planned, options_);
  if (whole.proof->ok) return false;
  for (const std::string_view step : whole.planned.steps_taken) {
    ASSIGN_OR_RETURN(const ProvenPlan smaller, next.Try(step));
    if (IsProven(smaller)) return false;
  }
  return true;
}

absl::StatusOr<ProvenPlan> ProvenPlanner::Run() const {
  ASSIGN_OR_RETURN(ProvenPlan whole, Try({}));
  if (!whole.proof.has_value() || whole.proof->ok) return whole;
  std::optional<ProvenPlan> best;
  std::string_view left_out;
  for (const std::string_view step : whole.planned.steps_taken) {
    ASSIGN_OR_RETURN(ProvenPlan smaller, Try(step));
    if (!IsProven(smaller)) continue;
    if (best.has_value() && DamageLeft(*best) <= DamageLeft(smaller)) continue;
    ASSIGN_OR_RETURN(const bool settles, Settles(smaller));
    if (!settles) continue;
    best = std::move(smaller);
    left_out = step;
  }
  if (!best.has_value()) return whole;
  best->planned.plan.AddReasonToStay(NoteOf(left_out, *whole.proof));
  return *std::move(best);
}

}  // namespace

absl::StatusOr<ProvenPlan> PlanWithProof(const File& image,
                                         const std::string& path,
                                         const RepairOptions& options,
                                         const MakePlanView& make_view) {
  return ProvenPlanner(image, path, options, make_view).Run();
}

}  // namespace qcow2::repair
