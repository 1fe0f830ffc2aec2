// What became of a repair, a recovery or an undo, as data: what reports are
// printed from.
//
// Values only.
#ifndef REPAIR_TRANSACTION_REPORT_H_
#define REPAIR_TRANSACTION_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "checker/finding.h"
#include "checker/problems.h"
#include "checker/report.h"
#include "repair/journal/commit.h"
#include "repair/journal/recover.h"
#include "repair/plan.h"
#include "repair/proof.h"

namespace qcow2::repair {

enum class Action { kRepair, kRecover, kUndo, kDiscardFreed };
// "repair", "recover", "undo", "discard-freed".
std::string_view NameOf(Action action);

// How it ended.
enum class Conclusion {
  kNotStarted,    // `error` says why; nothing was planned or written
  kCancelled,     // by the user, before anything was written
  kNothingToDo,   // no damage, none that can be mended, or nothing pending
  kPlanned,       // a dry run whose plan holds; nothing was written
  kNotProven,     // the plan does not hold; nothing was written
  kCommitted,     // done: the image is as planned (or, undone, as it was)
  kNotCommitted,  // `error` says why; the image is as it was
  kPending,       // `error` says why; the journal has to be finished
};
// "not-started", "cancelled", "nothing-to-do" ...
std::string_view NameOf(Conclusion conclusion);

// "none", "incomplete", "committed", "applied", "undoing", "undone".
std::string_view NameOf(JournalState state);
// "old", "new", "pending".
std::string_view NameOf(ImageState state);

// Findings of one kind that are in the image after a repair.
struct LeftOver {
  checker::Problem problem = checker::Problem::kHeaderTruncated;
  // Leaked clusters that may be what is left of guest data.
  bool suspect_orphan = false;
  uint64_t count = 0;  // entries or clusters
  std::string why;
  // What would deal with it, such as "--repair=salvage"; empty: nothing here.
  std::string remedy;
};

// The space of free clusters, in the qcow2 file itself.
struct Discard {
  // That hold something, and how much of them; once it was begun, what was
  // given back.
  uint64_t clusters = 0;
  uint64_t bytes = 0;
  bool applied = false;
  // The undo file that had to go for it; empty: there was none.
  std::string removed_undo_name;
};

struct TransactionReport {
  Action action = Action::kRepair;
  Mode mode = Mode::kAll;
  bool dry_run = false;
  Conclusion conclusion = Conclusion::kNotStarted;
  // Why it was not done, or what failed in tidying up after kCommitted.
  absl::Status error;

  // A journal of an earlier run that was found and finished first.
  std::optional<RecoverResult> recovered;

  Plan plan;
  // Why planning ended before all was tried; empty if it did not.
  std::string stopped;
  std::optional<ProofResult> proof;
  std::optional<CommitResult> commit;
  // Of Action::kDiscardFreed, if it came so far.
  std::optional<Discard> discard;

  // Whether the user said where journal and undo file are, so that they are
  // only found if that is said again.
  bool paths_given = false;
  // With their folders; empty: there is none.
  std::string journal_path;
  std::string undo_path;
  // What the undo file of an earlier repair is called now.
  std::string older_undo_path;

  // Of a repair that was planned, about the image as planned:
  // IDs of the findings of the first check that are gone, ascending.
  std::vector<uint32_t> mended;
  // Occurrences that are gone, of every severity but notes.
  uint64_t fixed = 0;
  // Findings that were not in the first check (damage hid them).
  std::vector<checker::Finding> appeared;
  std::vector<LeftOver> left;
};

// Whether this changed the image.
bool ChangedImage(const TransactionReport& transaction);

// The damage found and, where a plan was made, what a check of the planned
// image finds. `after` equals `before` when nothing was planned.
struct RepairReport {
  checker::CheckReport before;
  checker::CheckReport after;
  TransactionReport transaction;
};

}  // namespace qcow2::repair

#endif  // REPAIR_TRANSACTION_REPORT_H_
