#include "repair/repair.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/check.h"
#include "engine/status_macros.h"
#include "engine/storage/overlay_file.h"
#include "repair/comparison.h"
#include "repair/journal/commit.h"
#include "repair/journal/recover.h"
#include "repair/journal/undo.h"
#include "repair/not_checked.h"
#include "repair/planner.h"
#include "repair/proven_plan.h"
#include "repair/witnesses.h"

namespace qcow2::repair {
namespace {

using checker::CheckReport;
using checker::Problem;

// Of changes planned but not yet in the journal.
constexpr uint64_t kViewMemoryBytes = uint64_t{8} << 20;

void Shorten(std::vector<checker::Finding>& findings, uint64_t limit,
             uint64_t& omitted) {
  if (limit == 0 || findings.size() <= limit) return;
  omitted += findings.size() - limit;
  findings.resize(limit);
}

void Shorten(CheckReport& report, uint64_t limit) {
  Shorten(report.problems, limit, report.problems_omitted);
  Shorten(report.warnings, limit, report.problems_omitted);
}

// One repair of an open image.
class Repair {
 public:
  Repair(const std::string& path, const RepairRequest& request, Target& target)
      : path_(path),
        request_(request),
        options_(request.options),
        target_(target) {
    options_.can_grow = target.can_grow();
  }

  RepairReport Run();

 private:
  // Deals with a journal that an earlier run left.
  absl::Status FinishPending();
  absl::StatusOr<PlanView> MakeView(const File& base) const;
  // From a plan in `view` and its proof to the end of the transaction.
  Conclusion Carry(const OverlayFile& view);
  Conclusion CommitPlan(const OverlayFile& view);
  bool Cancelled() const;
  absl::StatusOr<Conclusion> PlanAndCarry();
  RepairReport Report();

  const std::string& path_;
  const RepairRequest& request_;
  RepairOptions options_;
  Target& target_;
  PlannedRepair planned_;
  TransactionReport transaction_;
};

bool Repair::Cancelled() const {
  return planned_.before.cancelled || planned_.after.cancelled ||
         (options_.check.cancel != nullptr && *options_.check.cancel);
}

absl::Status Repair::FinishPending() {
  ASSIGN_OR_RETURN(const JournalInfo pending, target_.Pending());
  if (pending.state == JournalState::kNone) return absl::OkStatus();
  if (request_.dry_run) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the journal of an earlier repair is pending, '", target_.JournalPath(),
        "'; until --recover has finished it nothing can be planned"));
  }
  ASSIGN_OR_RETURN(
      const RecoverResult recovered,
      Recover(target_.image(), target_.identity(), target_.place()));
  transaction_.recovered = recovered;
  transaction_.undo_path = target_.PathOf(recovered.undo_name);
  return absl::OkStatus();
}

Conclusion Repair::CommitPlan(const OverlayFile& view) {
  transaction_.journal_path = target_.JournalPath();
  transaction_.commit = Commit({
      .image = target_.image(),
      .identity = target_.identity(),
      .planned = view,
      .witnesses = WitnessesOf(planned_.graph_before, planned_.plan),
      .place = target_.place(),
      .keep_undo = request_.keep_undo,
  });
  const CommitResult& commit = *transaction_.commit;
  transaction_.error = commit.status;
  transaction_.undo_path = target_.PathOf(commit.undo_name);
  transaction_.older_undo_path = target_.PathOf(commit.older_undo_name);
  switch (commit.image) {
    case ImageState::kNew:
      return Conclusion::kCommitted;
    case ImageState::kPending:
      return Conclusion::kPending;
    case ImageState::kOld:
      break;
  }
  return Conclusion::kNotCommitted;
}

Conclusion Repair::Carry(const OverlayFile& view) {
  if (Cancelled()) return Conclusion::kCancelled;
  if (planned_.before.Found(Problem::kUnknownIncompatibleFeature)) {
    transaction_.proof.reset();
    transaction_.error = absl::FailedPreconditionError(
        "the image has incompatible features that are not known here; writing "
        "to it could destroy what they stand for");
    return Conclusion::kNotStarted;
  }
  if (!transaction_.proof.has_value()) return Conclusion::kNothingToDo;
  if (!transaction_.proof->ok) return Conclusion::kNotProven;
  return request_.dry_run ? Conclusion::kPlanned : CommitPlan(view);
}

absl::StatusOr<PlanView> Repair::MakeView(const File& base) const {
  PlanView view;
  // Without a scratch file (a folder that cannot be written, for a dry run)
  // the whole plan stays in memory.
  absl::StatusOr<std::unique_ptr<File>> scratch =
      target_.place().directory.CreateScratch();
  if (!scratch.ok()) {
    ASSIGN_OR_RETURN(view.overlay, OverlayFile::Create(base));
    return view;
  }
  view.scratch = *std::move(scratch);
  ASSIGN_OR_RETURN(view.overlay,
                   OverlayFile::Create(base, {.scratch = *view.scratch,
                                              .memory_max = kViewMemoryBytes}));
  return view;
}

absl::StatusOr<Conclusion> Repair::PlanAndCarry() {
  if (request_.look) request_.look(target_.image());
  ASSIGN_OR_RETURN(
      ProvenPlan plan,
      PlanWithProof(target_.image(), path_, options_,
                    [this](const File& base) { return MakeView(base); }));
  RETURN_IF_ERROR(target_.CheckConnection());
  planned_ = std::move(plan.planned);
  transaction_.proof = std::move(plan.proof);
  return Carry(*plan.view.overlay);
}

RepairReport Repair::Report() {
  RepairReport report;
  transaction_.plan = std::move(planned_.plan);
  if (transaction_.conclusion != Conclusion::kNotStarted &&
      transaction_.conclusion != Conclusion::kCancelled) {
    CompareReports(planned_.before, planned_.after, options_, transaction_);
  }
  transaction_.stopped = std::move(planned_.stopped);
  report.transaction = std::move(transaction_);
  report.before = std::move(planned_.before);
  report.after = std::move(planned_.after);
  Shorten(report.before, request_.options.check.max_problems);
  Shorten(report.after, request_.options.check.max_problems);
  return report;
}

RepairReport Repair::Run() {
  transaction_.mode = options_.mode;
  transaction_.dry_run = request_.dry_run;
  transaction_.paths_given = request_.paths.given();
  if (const absl::Status pending = FinishPending(); !pending.ok()) {
    planned_.before = planned_.after = NotChecked(path_, pending);
    transaction_.error = pending;
    return Report();
  }
  const absl::StatusOr<Conclusion> conclusion = PlanAndCarry();
  if (conclusion.ok()) {
    transaction_.conclusion = *conclusion;
  } else {
    planned_.before = planned_.after = NotChecked(path_, conclusion.status());
    transaction_.error = conclusion.status();
  }
  return Report();
}

// Checks the image after it was recovered or undone.
void CheckAfterwards(const std::string& path, const Target& target,
                     const checker::CheckOptions& check, RepairReport& report) {
  report.after = checker::CheckImage(target.image(), path, check);
  report.before = report.after;
}

Conclusion ConclusionOf(const RecoverResult& recovered) {
  switch (recovered.found) {
    case JournalState::kNone:
      return Conclusion::kNothingToDo;
    case JournalState::kIncomplete:
      return Conclusion::kNotCommitted;
    case JournalState::kCommitted:
    case JournalState::kApplied:
    case JournalState::kUndoing:
    case JournalState::kUndone:
      break;
  }
  return Conclusion::kCommitted;
}

absl::Status RunRecover(const std::string& path, const RecoverRequest& request,
                        RepairReport& report) {
  TransactionReport& transaction = report.transaction;
  ASSIGN_OR_RETURN(Target target,
                   Target::Open(path, request.paths, Purpose::kWriting,
                                request.open_remote));
  transaction.journal_path = target.JournalPath();
  ASSIGN_OR_RETURN(const RecoverResult recovered,
                   Recover(target.image(), target.identity(), target.place(),
                           request.options));
  transaction.recovered = recovered;
  transaction.conclusion = ConclusionOf(recovered);
  transaction.undo_path = target.PathOf(recovered.undo_name);
  transaction.older_undo_path = target.PathOf(recovered.older_undo_name);
  CheckAfterwards(path, target, request.check, report);
  return absl::OkStatus();
}

absl::Status RunUndo(const std::string& path, const RecoverRequest& request,
                     RepairReport& report) {
  TransactionReport& transaction = report.transaction;
  ASSIGN_OR_RETURN(Target target,
                   Target::Open(path, request.paths, Purpose::kWriting,
                                request.open_remote));
  transaction.undo_path = target.UndoPath();
  RETURN_IF_ERROR(
      Undo(target.image(), target.identity(), target.place(), request.options)
          .status());
  transaction.conclusion = Conclusion::kCommitted;
  CheckAfterwards(path, target, request.check, report);
  return absl::OkStatus();
}

using RunAction = absl::Status (*)(const std::string&, const RecoverRequest&,
                                   RepairReport&);

RepairReport RunAndReport(const std::string& path,
                          const RecoverRequest& request, Action action,
                          RunAction run) {
  RepairReport report;
  report.transaction.action = action;
  report.transaction.paths_given = request.paths.given();
  const absl::Status done = run(path, request, report);
  if (done.ok()) return report;
  report.before = report.after = NotChecked(path, done);
  report.transaction.error = done;
  return report;
}

}  // namespace

RepairReport RepairImage(const std::string& path,
                         const RepairRequest& request) {
  absl::StatusOr<Target> target =
      Target::Open(path, request.paths,
                   request.dry_run ? Purpose::kReading : Purpose::kWriting,
                   request.open_remote);
  if (target.ok()) return Repair(path, request, *target).Run();
  RepairReport report;
  report.before = report.after = NotChecked(path, target.status());
  report.transaction.mode = request.options.mode;
  report.transaction.dry_run = request.dry_run;
  report.transaction.error = target.status();
  return report;
}

RepairReport RecoverImage(const std::string& path,
                          const RecoverRequest& request) {
  return RunAndReport(path, request, Action::kRecover, RunRecover);
}

RepairReport UndoImage(const std::string& path, const RecoverRequest& request) {
  return RunAndReport(path, request, Action::kUndo, RunUndo);
}

}  // namespace qcow2::repair
