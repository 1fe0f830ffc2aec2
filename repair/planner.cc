#include "repair/planner.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/check.h"
#include "engine/status_macros.h"
#include "repair/reference_memory.h"
#include "repair/repair_context.h"
#include "repair/steps.h"

namespace qcow2::repair {
namespace {

// Findings kept at least of each kind of problem while planning; more of a kind
// may take more rounds.
constexpr uint64_t kMaxPerProblem = 1024;
// A step that still changes something after so many rounds is not getting
// anywhere: what is left stays as it is.
constexpr int kMaxRoundsOfStep = 64;
constexpr uint64_t kNoLimit = ~uint64_t{0};

using checker::Problem;

// One check of the view.
struct Survey {
  checker::CheckReport report;
  checker::Graph graph;
};

// Fills `ownership` if there is one.
Survey TakeSurvey(const File& view, const std::string& path,
                  const RepairOptions& options,
                  checker::OwnershipMap* ownership) {
  Survey survey;
  checker::CheckOptions check = options.check;
  check.overlap = checker::OverlapClasses::All();
  check.qemu_compatible = false;
  // A caller who wants them all gets them all.
  const uint64_t wanted = options.check.max_problems;
  check.max_problems = 0;
  check.max_per_problem = wanted == 0 ? 0 : std::max(wanted, kMaxPerProblem);
  check.graph = &survey.graph;
  check.ownership = ownership;
  survey.report = checker::CheckImage(view, path, check);
  return survey;
}

// The lowest place past the end of the file that an L1 or L2 entry names.
uint64_t LowestPlacePastEnd(const checker::CheckReport& report) {
  constexpr Problem kPastEnd[] = {Problem::kL1EntryPastEnd,
                                  Problem::kL2EntryPastEnd,
                                  Problem::kCompressedPastEnd};
  uint64_t unlisted = 0;
  for (const Problem problem : kPastEnd) {
    unlisted += report.OccurrencesOf(problem);
  }
  uint64_t lowest = kNoLimit;
  for (const checker::Finding& finding : report.problems) {
    if (std::find(std::begin(kPastEnd), std::end(kPastEnd), finding.problem) ==
        std::end(kPastEnd)) {
      continue;
    }
    unlisted -= std::min(unlisted, finding.count);
    lowest = std::min(lowest, finding.actual.value_or(0));
  }
  return unlisted == 0 ? lowest : 0;
}

// A step that wrote to the view and then found that it cannot be carried out.
// Planning begins anew then, and leaves it out from that attempt on.
struct HalfDoneStep {
  size_t step = 0;
  int attempt = 0;
  std::string reason;  // empty: the step does not say
};

class Planner {
 public:
  // `half_done` are those of earlier planners with the same view.
  Planner(const File& image, const std::string& path, OverlayFile& view,
          const RepairOptions& options,
          const std::vector<HalfDoneStep>& half_done)
      : image_(image),
        path_(path),
        view_(view),
        options_(options),
        left_out_(half_done),
        steps_(StepsOf(options.mode)),
        rounds_(steps_.size()),
        attempts_(steps_.size()),
        free_clusters_(options.can_grow) {}

  // What was planned is of no use if there is a half_done() afterwards.
  absl::StatusOr<PlannedRepair> Run();

  const std::optional<HalfDoneStep>& half_done() const { return half_done_; }

 private:
  // Runs a step on what `survey` says, and takes a new survey if it changed
  // the view. True if it did.
  absl::StatusOr<bool> RunStep(size_t index, Survey& survey);

  // Begins an attempt at a step; whether it is to be left out.
  bool IsLeftOut(size_t index);

  // Of the first survey that found any.
  void RememberRegions(const checker::ImageModel& model);

  const File& image_;
  const std::string& path_;
  OverlayFile& view_;
  const RepairOptions& options_;
  const std::vector<HalfDoneStep>& left_out_;
  const std::span<const Step> steps_;
  // By step: how often it changed something, and how often it was tried.
  std::vector<int> rounds_;
  std::vector<int> attempts_;
  std::optional<HalfDoneStep> half_done_;
  FreeClusters free_clusters_;
  std::map<uint64_t, uint64_t> placed_blocks_;
  std::vector<checker::MetadataRegion> former_regions_;
  PlannedRepair result_;
  bool changed_ = false;
};

void Planner::RememberRegions(const checker::ImageModel& model) {
  if (!former_regions_.empty()) return;
  former_regions_ = model.regions;
  former_regions_.insert(former_regions_.end(), model.stale_regions.begin(),
                         model.stale_regions.end());
}

bool Planner::IsLeftOut(size_t index) {
  const int attempt = attempts_[index]++;
  for (const HalfDoneStep& step : left_out_) {
    if (step.step != index || step.attempt != attempt) continue;
    if (!step.reason.empty()) result_.plan.AddReasonToStay(step.reason);
    rounds_[index] = kMaxRoundsOfStep;
    return true;
  }
  return false;
}

absl::StatusOr<bool> Planner::RunStep(size_t index, Survey& survey) {
  if (IsLeftOut(index)) return false;
  const Step& step = steps_[index];
  free_clusters_.LimitGrowth(
      step.settles_past_end ? kNoLimit : LowestPlacePastEnd(survey.report));
  RepairContext context{image_,         view_,          options_,
                        survey.report,  survey.graph,   former_regions_,
                        free_clusters_, placed_blocks_, result_.plan};
  ASSIGN_OR_RETURN(const uint64_t size, view_.Size());
  const uint64_t writes = view_.writes();
  absl::StatusOr<bool> changed = step.run(context);
  std::string reason;
  if (!changed.ok() && free_clusters_.TakeRanOut()) {
    // What there is no room for stays damaged; the rest can still be mended.
    reason = std::string(changed.status().message());
    changed = false;
  }
  RETURN_IF_ERROR(changed.status());
  if (!*changed) {
    if (view_.writes() != writes) {
      half_done_ = HalfDoneStep{index, attempts_[index] - 1, std::move(reason)};
      return false;
    }
    if (!reason.empty()) {
      result_.plan.AddReasonToStay(std::move(reason));
      rounds_[index] = kMaxRoundsOfStep;
    }
    // It may have made room before it found that it was not enough.
    RETURN_IF_ERROR(view_.Truncate(size));
    return false;
  }
  RememberRegions(survey.graph.model);
  Survey next = TakeSurvey(view_, path_, options_, nullptr);
  RETURN_IF_ERROR(CheckReferencesFit(next.report, options_.check));
  // Only the first survey is of the image itself; its graph may be empty.
  if (!changed_) result_.graph_before = std::move(survey.graph);
  changed_ = true;
  survey = std::move(next);
  return true;
}

absl::StatusOr<PlannedRepair> Planner::Run() {
  // Of the image as it is, which a planner before this one has looked at.
  Survey survey =
      TakeSurvey(view_, path_, options_,
                 left_out_.empty() ? options_.check.ownership : nullptr);
  RETURN_IF_ERROR(CheckReferencesFit(survey.report, options_.check));
  result_.before = survey.report;
  // After a change all steps before it are tried again: an image whose header
  // was mended may show new damage in its tables.
  for (size_t i = 0; i < steps_.size() && !survey.report.cancelled;) {
    if (rounds_[i] >= kMaxRoundsOfStep ||
        steps_[i].name == options_.step_left_out) {
      ++i;
      continue;
    }
    ASSIGN_OR_RETURN(const bool changed, RunStep(i, survey));
    if (half_done_.has_value()) return std::move(result_);
    if (changed && rounds_[i] == 0) {
      result_.steps_taken.push_back(steps_[i].name);
    }
    if (changed && ++rounds_[i] >= kMaxRoundsOfStep) {
      result_.stopped = absl::StrCat("the step \"", std::string(steps_[i].name),
                                     "\" did not come to an end");
      break;
    }
    i = changed ? 0 : i + 1;
  }
  result_.after = std::move(survey.report);
  result_.graph_after = std::move(survey.graph);
  return std::move(result_);
}

}  // namespace

absl::StatusOr<PlannedRepair> PlanRepair(const File& image,
                                         const std::string& path,
                                         OverlayFile& view,
                                         const RepairOptions& options) {
  std::vector<HalfDoneStep> half_done;
  while (true) {
    Planner planner(image, path, view, options, half_done);
    absl::StatusOr<PlannedRepair> planned = planner.Run();
    if (!planned.ok() || !planner.half_done().has_value()) return planned;
    half_done.push_back(*planner.half_done());
    view.Clear();
  }
}

}  // namespace qcow2::repair
