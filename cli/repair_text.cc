#include "cli/repair_text.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "checker/printable.h"
#include "cli/report_words.h"
#include "cli/text_blocks.h"
#include "cli/units.h"
#include "cli/version.h"
#include "cli/word_wrap.h"

namespace qcow2::cli {
namespace {

using checker::Printable;
using repair::Action;
using repair::Conclusion;
using repair::Edit;
using repair::GuestChange;
using repair::JournalState;
using repair::LeftOver;
using repair::TransactionReport;

// Printed of each list; JSON has more.
constexpr size_t kEditsShown = 10;  // of one problem
constexpr size_t kGuestChangesShown = 20;
constexpr size_t kFailuresShown = 10;

// What to type for `option`. `path_option` is how to name `path`, the file it
// needs, where that is not beside the image.
std::string Command(const ImageReport& report, std::string_view option,
                    std::string_view path_option, const std::string& path) {
  std::string command = std::string(kToolName) + " " + std::string(option);
  if (report.transaction->paths_given) {
    command += " " + std::string(path_option) + "=" + ShellWord(path);
  }
  return command + " " + ShellWord(report.found.image.path);
}

std::string UndoCommand(const ImageReport& report) {
  return Command(report, "--undo", "--undo-file",
                 report.transaction->undo_path);
}

// `option` for a repair that is not finished.
std::string JournalCommand(const ImageReport& report, std::string_view option) {
  return Command(report, option, "--journal", report.transaction->journal_path);
}

std::string ErrorText(const TransactionReport& transaction) {
  return Printable(std::string(transaction.error.message()));
}

// A paragraph with a heading.
std::string Paragraph(std::string_view heading, const std::string& text) {
  return "\n" + Wrap(std::string(heading) + ": " + text, 0, kItemIndent);
}

std::string RecoveredText(const TransactionReport& transaction) {
  if (!transaction.recovered.has_value()) return {};
  switch (transaction.recovered->found) {
    case JournalState::kNone:
      return {};
    case JournalState::kIncomplete:
      return Paragraph("journal",
                       "an earlier repair was cut short before it changed "
                       "anything; its journal was discarded");
    case JournalState::kCommitted:
      return Paragraph("journal",
                       "an earlier repair was cut short while it was changing "
                       "the image; it was finished, and the image is what that "
                       "repair had planned and proven");
    case JournalState::kApplied:
      return Paragraph("journal",
                       "an earlier repair was cut short when all but tidying "
                       "up was done; that was done now");
    case JournalState::kUndoing:
    case JournalState::kUndone:
      return Paragraph("journal",
                       "an earlier undo was cut short; it was finished, and "
                       "the image is what it was before that repair");
  }
  return {};
}

std::string EditText(const Edit& edit) {
  std::string text = Printable(edit.where) + ": " + Printable(edit.before) +
                     " -> " + Printable(edit.after);
  if (edit.count > 1) text += " (" + std::to_string(edit.count) + " in all)";
  return Wrap(text, 4, 6);
}

// The edits from `begin` on that answer the same problem, in the same way.
std::string EditGroup(const std::vector<Edit>& edits, size_t begin, size_t end,
                      const ImageReport& report) {
  const checker::ProblemRow& row = checker::RowOf(edits[begin].problem);
  uint64_t changes = 0;
  for (size_t i = begin; i < end; ++i) changes += edits[i].count;
  std::string head = std::string(row.code) +
                     FindingIds(report.found, row.problem) + ": " +
                     std::string(checker::RowOf(edits[begin].action).text);
  std::string text = Wrap(head, kItemIndent, 4);
  const size_t shown = std::min(end - begin, kEditsShown);
  for (size_t i = begin; i < begin + shown; ++i) text += EditText(edits[i]);
  if (end - begin > shown) {
    text += Wrap("and " + Counted(end - begin - shown, "more", "more") + ", " +
                     Counted(changes, "change", "changes") + " in all",
                 4, 6);
  }
  return text;
}

std::string PlanText(const ImageReport& report) {
  const repair::Plan& plan = report.transaction->plan;
  if (plan.empty() && plan.notes().empty()) return {};
  std::string text =
      "\nplan: " +
      (plan.empty() ? std::string("no changes")
                    : Counted(plan.changes(), "change", "changes")) +
      " (--repair=" + std::string(NameOf(report.transaction->mode)) + ")\n";
  const std::vector<Edit>& edits = plan.edits();
  for (size_t begin = 0; begin < edits.size();) {
    size_t end = begin;
    while (end < edits.size() && edits[end].problem == edits[begin].problem &&
           edits[end].action == edits[begin].action) {
      ++end;
    }
    text += EditGroup(edits, begin, end, report);
    begin = end;
  }
  if (plan.edits_omitted() > 0) {
    text +=
        Wrap("and " + Counted(plan.edits_omitted(), "more edit", "more edits") +
                 " of the same kinds",
             kItemIndent, 4);
  }
  for (const std::string& note : plan.notes()) {
    text += Wrap("note: " + Printable(note), kItemIndent, 4);
  }
  return text;
}

std::string GuestText(const TransactionReport& transaction) {
  if (!transaction.proof.has_value()) return {};
  const std::vector<GuestChange>& changes = transaction.plan.guest_changes();
  if (changes.empty()) {
    return Paragraph("guest data",
                     "every byte that can be read reads the same afterwards, "
                     "in the disk and in every snapshot");
  }
  std::string text =
      "\nguest data: these ranges read differently afterwards, no others do\n";
  const size_t shown = std::min(changes.size(), kGuestChangesShown);
  for (size_t i = 0; i < shown; ++i) {
    const GuestChange& change = changes[i];
    const bool lost = change.kind == GuestChange::Kind::kLost;
    text += Wrap(std::string(lost ? "LOST: " : "recovered: ") +
                     DescribeGuestRange(change.range) + ": " +
                     Printable(change.reason),
                 kItemIndent, 4);
  }
  if (changes.size() > shown) {
    text += Wrap(
        "and " + Counted(changes.size() - shown, "more range", "more ranges") +
            "; --output=json lists all",
        kItemIndent, 4);
  }
  return text;
}

std::string ProofText(const TransactionReport& transaction) {
  if (!transaction.proof.has_value()) return {};
  const repair::ProofResult& proof = *transaction.proof;
  if (proof.ok) {
    const uint64_t read = proof.statistics.guest_bytes_by_content;
    return Paragraph(
        "proof",
        "passed. The image as planned was checked in full, and "
        "the guest's data compared, in the disk and in every "
        "snapshot: " +
            (read == 0 ? "all of it is where it was"
                       : HumanBytes(read) + " were read, the rest is where it "
                                            "was"));
  }
  std::string text = "\nproof: FAILED, so nothing was written\n";
  const size_t shown = std::min(proof.failures.size(), kFailuresShown);
  for (size_t i = 0; i < shown; ++i) {
    text += Wrap(Printable(proof.failures[i].message), kItemIndent, 4);
  }
  const uint64_t more = proof.failures.size() - shown + proof.failures_omitted;
  if (more > 0) {
    text += Wrap("and " + Counted(more, "more failure", "more failures"),
                 kItemIndent, 4);
  }
  return text;
}

std::string CommitText(const ImageReport& report) {
  const TransactionReport& transaction = *report.transaction;
  if (!transaction.commit.has_value()) return {};
  switch (transaction.conclusion) {
    case Conclusion::kCommitted:
      return Paragraph(
          "commit", "done. " + HumanBytes(transaction.commit->changed_bytes) +
                        " of the image were changed by way of a journal, "
                        "and are on stable storage");
    case Conclusion::kPending:
      return Paragraph(
          "commit", "INTERRUPTED half way: " + ErrorText(transaction) +
                        ". The journal '" +
                        Printable(transaction.journal_path) + "' finishes it");
    default:
      return Paragraph("commit", "FAILED: " + ErrorText(transaction) +
                                     ". The image is what it was");
  }
}

std::string UndoText(const ImageReport& report) {
  const TransactionReport& transaction = *report.transaction;
  if (transaction.conclusion != Conclusion::kCommitted) return {};
  if (transaction.action == Action::kUndo) {
    return Paragraph("undone",
                     "the image is, to the byte, what it was before the "
                     "repair");
  }
  std::string text;
  if (!transaction.undo_path.empty()) {
    text += Paragraph("undo file",
                      "'" + Printable(transaction.undo_path) +
                          "' keeps the old bytes. Until something else writes "
                          "to the image, --undo puts them back");
  } else if (transaction.action == Action::kRepair) {
    text += Paragraph("undo file", "none: this repair cannot be taken back");
  }
  if (!transaction.older_undo_path.empty()) {
    text += Wrap("the undo file of an earlier repair is now called '" +
                     Printable(transaction.older_undo_path) + "'",
                 kItemIndent, kItemIndent);
  }
  return text;
}

std::string DiscardText(const TransactionReport& transaction) {
  if (!transaction.discard.has_value() ||
      transaction.conclusion == Conclusion::kNothingToDo) {
    return {};
  }
  const repair::Discard& discard = *transaction.discard;
  const std::string space =
      HumanBytes(discard.bytes) + " of " +
      Counted(discard.clusters, "free cluster", "free clusters");
  std::string text;
  if (transaction.conclusion == Conclusion::kPlanned) {
    text = Paragraph("discard", space + " would be given back");
  } else if (discard.applied) {
    text = Paragraph("discard", "done. " + space +
                                    " were given back and read as zeros now; "
                                    "the guest's data is where it was");
  } else {
    text = Paragraph("discard", "FAILED: " + ErrorText(transaction) +
                                    ". At most " + space +
                                    " are gone; the guest's data is where it "
                                    "was");
  }
  if (!discard.removed_undo_name.empty()) {
    text += Wrap("the undo file '" + Printable(discard.removed_undo_name) +
                     "' was removed: the repair before cannot be taken back",
                 kItemIndent, kItemIndent);
  }
  return text;
}

std::string LeftText(const ImageReport& report) {
  const TransactionReport& transaction = *report.transaction;
  if (transaction.left.empty()) return {};
  std::string text = transaction.conclusion == Conclusion::kPlanned
                         ? "\nwould be left:\n"
                         : "\nleft as it is:\n";
  for (const LeftOver& left : transaction.left) {
    const checker::ProblemRow& row = checker::RowOf(left.problem);
    std::string line =
        std::string(row.code) + FindingIds(report.found, left.problem);
    if (left.count > 1) line += ", " + std::to_string(left.count) + " times";
    line += ": " + left.why;
    if (!left.remedy.empty()) line += " (" + left.remedy + ")";
    text += Wrap(line, kItemIndent, 4);
  }
  return text;
}

std::string FoundAnd(const ImageReport& report, std::string_view rest) {
  return std::string(StatusWord(report.found)) + ": " +
         CountsInWords(report.found) + "; " + std::string(rest);
}

std::string CommittedVerdict(const ImageReport& report) {
  const std::string mended =
      Counted(report.transaction->fixed, "problem", "problems") + " mended";
  const checker::CheckReport& now = Now(report);
  if (now.status == checker::CheckStatus::kClean) {
    return "REPAIRED: " + mended + ", the image is clean";
  }
  return "PARTIALLY REPAIRED: " + mended + "; left: " + CountsInWords(now);
}

std::string RepairVerdict(const ImageReport& report) {
  const bool clean = report.found.status == checker::CheckStatus::kClean;
  switch (report.transaction->conclusion) {
    case Conclusion::kNotStarted:
      return report.found.status == checker::CheckStatus::kError
                 ? "NOT REPAIRED"
                 : FoundAnd(report, "NOT REPAIRED");
    case Conclusion::kCancelled:
      return "CANCELLED: nothing was written";
    case Conclusion::kNothingToDo:
      if (Mended(report)) return CommittedVerdict(report);
      return FoundAnd(report, clean ? "nothing to repair"
                                    : "NOT REPAIRED, nothing can be done");
    case Conclusion::kPlanned:
      return FoundAnd(report, "dry run, nothing was written");
    case Conclusion::kNotProven:
      return FoundAnd(report, "NOT REPAIRED, the plan failed its proof");
    case Conclusion::kCommitted:
      return CommittedVerdict(report);
    case Conclusion::kNotCommitted:
      return FoundAnd(report, "NOT REPAIRED, the image is what it was");
    case Conclusion::kPending:
      return FoundAnd(report, "REPAIR INTERRUPTED half way");
  }
  return {};
}

std::string RecoverVerdict(const ImageReport& report) {
  const std::string now = "; now " + std::string(StatusWord(report.found)) +
                          ": " + CountsInWords(report.found);
  switch (report.transaction->conclusion) {
    case Conclusion::kNothingToDo:
      return "nothing to recover" + now;
    case Conclusion::kNotCommitted:
      return "RECOVERED: an incomplete journal was discarded" + now;
    case Conclusion::kCommitted:
      return "RECOVERED" + now;
    default:
      return "NOT RECOVERED";
  }
}

std::string UndoVerdict(const ImageReport& report) {
  if (report.transaction->conclusion != Conclusion::kCommitted) {
    return "NOT UNDONE";
  }
  return "UNDONE; again " + std::string(StatusWord(report.found)) + ": " +
         CountsInWords(report.found);
}

std::string DiscardVerdict(const ImageReport& report) {
  switch (report.transaction->conclusion) {
    case Conclusion::kCommitted:
      return "DISCARDED: " + HumanBytes(report.transaction->discard->bytes) +
             " given back; " + CountsInWords(report.found);
    case Conclusion::kPlanned:
      return FoundAnd(report, "dry run, nothing was written");
    case Conclusion::kNothingToDo:
      return FoundAnd(report, "nothing to discard");
    case Conclusion::kCancelled:
      return "CANCELLED: nothing was written";
    case Conclusion::kNotCommitted:
      return FoundAnd(report, "NOT all DISCARDED");
    default:
      return report.found.status == checker::CheckStatus::kError
                 ? "NOT DISCARDED"
                 : FoundAnd(report, "NOT DISCARDED");
  }
}

std::string DiscardAdvice(const TransactionReport& transaction) {
  switch (transaction.conclusion) {
    case Conclusion::kNotStarted:
      return "Nothing was written: " + ErrorText(transaction) + ".";
    case Conclusion::kPlanned:
      return "Nothing was written. Without --dry-run what free clusters hold "
             "is "
             "gone for good, also what a repair freed.";
    case Conclusion::kNotCommitted:
      return "The image is as clean as before. See to the error above, then "
             "run it again.";
    default:
      return {};
  }
}

std::string RepairedAdvice(const ImageReport& report) {
  const TransactionReport& transaction = *report.transaction;
  std::string text;
  const bool clean = Now(report).status == checker::CheckStatus::kClean;
  if (!clean) {
    text =
        "Read what is left and why above. Copy the image before you try "
        "more. ";
  }
  text +=
      "Check the guest's own file system before it is used, as after a "
      "power failure.";
  if (!transaction.undo_path.empty()) {
    text += " If the repair is not what you want, " + UndoCommand(report) +
            " takes it back, but only before a guest has written to the "
            "image. Remove '" +
            Printable(transaction.undo_path) + "' when you are content.";
  }
  return text;
}

std::string RepairAdvice(const ImageReport& report) {
  const TransactionReport& transaction = *report.transaction;
  switch (transaction.conclusion) {
    case Conclusion::kNotStarted:
      return "See the error above; nothing was written.";
    case Conclusion::kCancelled:
      return "Run it again; nothing was written.";
    case Conclusion::kNothingToDo:
      if (report.found.status == checker::CheckStatus::kClean) {
        return Mended(report) ? RepairedAdvice(report) : "";
      }
      return "Read above why nothing can be done. Restore from a backup what "
             "you can; copy the image before you try more.";
    case Conclusion::kPlanned:
      return "Nothing was written. Without --dry-run this is done, by way of "
             "a journal, and can be undone.";
    case Conclusion::kNotProven:
      return "The image is unchanged. Keep a copy of it; the failures above "
             "say what could not be shown to be safe.";
    case Conclusion::kCommitted:
      return RepairedAdvice(report);
    case Conclusion::kNotCommitted:
      return "The image is unchanged. See to the error above, then run it "
             "again; --journal=PATH puts the journal elsewhere if its folder "
             "is the trouble.";
    case Conclusion::kPending:
      return "Do not use the image. See to the error above, then run " +
             JournalCommand(report, "--recover") +
             ", which finishes the repair from the journal; do not remove "
             "the journal. " +
             JournalCommand(report, "--undo") + " is the way back instead.";
  }
  return {};
}

}  // namespace

std::string TransactionVerdict(const ImageReport& report) {
  switch (report.transaction->action) {
    case Action::kRepair:
      return RepairVerdict(report);
    case Action::kRecover:
      return RecoverVerdict(report);
    case Action::kUndo:
      return UndoVerdict(report);
    case Action::kDiscardFreed:
      return DiscardVerdict(report);
  }
  return {};
}

std::string TransactionText(const ImageReport& report) {
  const TransactionReport& transaction = *report.transaction;
  std::string text = RecoveredText(transaction) + PlanText(report) +
                     GuestText(transaction) + ProofText(transaction) +
                     CommitText(report) + DiscardText(transaction) +
                     UndoText(report) + LeftText(report);
  if (!transaction.stopped.empty()) {
    text += Paragraph(
        "note", "planning ended early: " + Printable(transaction.stopped));
  }
  return text;
}

std::string TransactionAdvice(const ImageReport& report) {
  const TransactionReport& transaction = *report.transaction;
  if (transaction.action == Action::kRepair) return RepairAdvice(report);
  if (transaction.action == Action::kDiscardFreed) {
    return DiscardAdvice(transaction);
  }
  if (!transaction.error.ok()) {
    return "See the error above; the image was not changed by this run.";
  }
  return {};
}

}  // namespace qcow2::cli
