#include "repair/discard_freed.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "checker/graph.h"
#include "checker/problems.h"
#include "engine/status_macros.h"
#include "repair/freed_clusters.h"
#include "repair/not_checked.h"
#include "repair/reference_memory.h"

namespace qcow2::repair {
namespace {

using checker::CheckReport;
using checker::CheckStatus;

// Whether the check shows for certain which clusters are free.
absl::Status JudgeCheck(const CheckReport& report,
                        const checker::Graph& graph) {
  if (report.status == CheckStatus::kCorrupt ||
      report.status == CheckStatus::kLeaks) {
    return absl::FailedPreconditionError(
        "free clusters are only given back in a clean image, since those of a "
        "damaged one may be all that is left of something; repair it first");
  }
  if (report.status != CheckStatus::kClean || !report.errors.empty() ||
      report.counts.unreadable_bytes > 0 || graph.map == nullptr ||
      graph.model.refcounts_unknown || graph.model.references_incomplete) {
    return absl::FailedPreconditionError(
        "not all of the image could be read, so that it is not certain which "
        "clusters are free");
  }
  return absl::OkStatus();
}

class Discarding {
 public:
  Discarding(File& image, const JournalPlace& place,
             const DiscardRequest& request, TransactionReport& transaction)
      : image_(image),
        place_(place),
        request_(request),
        transaction_(transaction) {}

  // From a finished check to the end.
  absl::Status Run(const CheckReport& report, const checker::Graph& graph);

 private:
  absl::StatusOr<bool> FindUndo() const;
  absl::Status Apply(const checker::Graph& graph, bool undo_exists);

  File& image_;
  const JournalPlace& place_;
  const DiscardRequest& request_;
  TransactionReport& transaction_;
};

absl::StatusOr<bool> Discarding::FindUndo() const {
  ASSIGN_OR_RETURN(const bool exists,
                   place_.directory.Exists(place_.undo_name));
  if (exists && request_.keep_undo) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the undo file '", place_.undo_name,
        "' is there, and the repair it belongs to could not be taken back any "
        "more; --no-undo removes it first"));
  }
  return exists;
}

absl::Status Discarding::Apply(const checker::Graph& graph, bool undo_exists) {
  transaction_.conclusion = Conclusion::kNotCommitted;
  if (undo_exists) {
    // For good, before the first byte is gone that it would have needed.
    RETURN_IF_ERROR(place_.directory.Remove(place_.undo_name));
    transaction_.discard->removed_undo_name = place_.undo_name;
    RETURN_IF_ERROR(place_.directory.Sync());
  }
  FreedSpace punched;
  const absl::Status done = PunchFreed(image_, graph, punched);
  transaction_.discard->clusters = punched.clusters;
  transaction_.discard->bytes = punched.bytes;
  RETURN_IF_ERROR(done);
  transaction_.discard->applied = true;
  transaction_.conclusion = Conclusion::kCommitted;
  return absl::OkStatus();
}

absl::Status Discarding::Run(const CheckReport& report,
                             const checker::Graph& graph) {
  if (report.cancelled) {
    transaction_.conclusion = Conclusion::kCancelled;
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(JudgeCheck(report, graph));
  ASSIGN_OR_RETURN(const bool undo_exists, FindUndo());
  ASSIGN_OR_RETURN(const FreedSpace space, FindFreed(image_, graph));
  transaction_.discard.emplace();
  transaction_.discard->clusters = space.clusters;
  transaction_.discard->bytes = space.bytes;
  if (space.bytes == 0) {
    transaction_.conclusion = Conclusion::kNothingToDo;
    return absl::OkStatus();
  }
  if (request_.dry_run) {
    transaction_.conclusion = Conclusion::kPlanned;
    return absl::OkStatus();
  }
  return Apply(graph, undo_exists);
}

absl::Status RefusePending(const Target& target) {
  ASSIGN_OR_RETURN(const JournalInfo pending, target.Pending());
  if (pending.state == JournalState::kNone) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the journal of an earlier repair is pending, '",
                   target.JournalPath(), "'; --recover finishes it"));
}

RepairReport NewReport(const DiscardRequest& request) {
  RepairReport report;
  report.transaction.action = Action::kDiscardFreed;
  report.transaction.dry_run = request.dry_run;
  return report;
}

RepairReport Refused(const std::string& path, const DiscardRequest& request,
                     const absl::Status& why) {
  RepairReport report = NewReport(request);
  report.before = report.after = NotChecked(path, why);
  report.transaction.error = why;
  return report;
}

}  // namespace

RepairReport DiscardFreed(File& image, const std::string& path,
                          const JournalPlace& place,
                          const DiscardRequest& request) {
  RepairReport report = NewReport(request);
  checker::Graph graph;
  checker::CheckOptions check = request.check;
  check.overlap = checker::OverlapClasses::All();
  check.graph = &graph;
  report.before = checker::CheckImage(image, path, check);
  report.transaction.error = CheckReferencesFit(report.before, check);
  if (report.transaction.error.ok()) {
    report.transaction.error =
        Discarding(image, place, request, report.transaction)
            .Run(report.before, graph);
  }
  report.after = report.before;
  return report;
}

RepairReport DiscardFreed(const std::string& path,
                          const DiscardRequest& request) {
  absl::StatusOr<Target> target =
      Target::Open(path, request.paths,
                   request.dry_run ? Purpose::kReading : Purpose::kWriting,
                   request.open_remote);
  if (!target.ok()) return Refused(path, request, target.status());
  const absl::Status pending = RefusePending(*target);
  if (!pending.ok()) return Refused(path, request, pending);
  return DiscardFreed(target->image(), path, target->place(), request);
}

}  // namespace qcow2::repair
