#include "cli/human_printer.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "checker/printable.h"
#include "cli/change_text.h"
#include "cli/exit_code.h"
#include "cli/explain.h"
#include "cli/finding_groups.h"
#include "cli/repair_text.h"
#include "cli/report_words.h"
#include "cli/text_blocks.h"
#include "cli/units.h"
#include "cli/word_wrap.h"

namespace qcow2::cli {
namespace {

using checker::CheckReport;
using checker::CheckStatus;
using checker::Finding;
using checker::Printable;
using checker::ProblemRow;

// Guest ranges and consequences printed for one finding; JSON has them all.
constexpr size_t kGuestRangesShown = 4;
constexpr size_t kConsequencesShown = 10;

std::string GuestDetails(const Finding& finding) {
  std::string text;
  const size_t shown = std::min(finding.guest.size(), kGuestRangesShown);
  for (size_t i = 0; i < shown; ++i) {
    text += Detail("guest", DescribeGuestRange(finding.guest[i]));
  }
  const uint64_t more =
      finding.guest.size() - shown + finding.guest_ranges_omitted;
  if (more > 0) {
    text +=
        Detail("guest", "and " + Counted(more, "more range", "more ranges"));
  }
  return text;
}

std::string OwnersDetail(const Finding& finding) {
  std::string owners;
  for (const std::string& name : checker::OwnerNames(finding.owners)) {
    if (!owners.empty()) owners += ", ";
    owners += name;
  }
  return owners.empty() ? owners : Detail("owners", owners);
}

std::string FindingLine(const Finding& finding, std::string_view code) {
  std::string line = "#" + std::to_string(finding.id) + " ";
  if (!code.empty()) line.append("[").append(code).append("] ");
  line += DescribeFinding(finding);
  if (finding.suspect_orphan) {
    line += "; may be what is left of guest data, do not free it";
  }
  return line;
}

std::string ConsequenceLines(const Finding& cause,
                             const Consequences& consequences) {
  const auto found = consequences.find(cause.id);
  if (found == consequences.end()) return {};
  const std::vector<const Finding*>& findings = found->second;
  const size_t shown = std::min(findings.size(), kConsequencesShown);
  std::string text;
  for (size_t i = 0; i < shown; ++i) {
    const ProblemRow& row = checker::RowOf(findings[i]->problem);
    text += Detail("causes", FindingLine(*findings[i], row.code));
  }
  if (findings.size() > shown) {
    text += Detail("causes", "and " + Counted(findings.size() - shown,
                                              "more finding", "more findings"));
  }
  return text;
}

std::string FindingText(const Finding& finding,
                        const Consequences& consequences) {
  return Wrap(FindingLine(finding, ""), kItemIndent, kDetailIndent) +
         GuestDetails(finding) + OwnersDetail(finding) +
         ConsequenceLines(finding, consequences);
}

std::string GroupText(const FindingGroup& group,
                      const Consequences& consequences, bool planned) {
  const ProblemRow& row = *group.row;
  uint64_t occurrences = 0;
  for (const Finding* finding : group.findings) occurrences += finding->count;
  std::string text = "\n";
  text.append(NameOf(row.severity)).append(": ").append(row.code);
  text += " (" + std::to_string(row.number) + ")";
  if (occurrences > 1) text += ", " + std::to_string(occurrences) + " times";
  text += "\n";
  text += Wrap(row.meaning, kItemIndent, kItemIndent);
  if (!planned) {
    text += Wrap("A repair would do this: " + DescribeRepair(row) + ".",
                 kItemIndent, kItemIndent);
  }
  for (const Finding* finding : group.findings) {
    text += FindingText(*finding, consequences);
  }
  return text;
}

std::string CheckVerdict(const CheckReport& report) {
  std::string text(StatusWord(report));
  const bool counted = report.status != CheckStatus::kError ||
                       !report.problems.empty() || !report.warnings.empty();
  if (counted) text += ": " + CountsInWords(report);
  const bool harmless = report.status == CheckStatus::kLeaks &&
                        report.counts.suspect_orphans == 0;
  return harmless ? text + "; no data is at risk" : text;
}

std::string Verdict(const ImageReport& report) {
  return Printable(report.found.image.path) + ": " + VerdictInWords(report) +
         "\n";
}

std::string ImageLine(const checker::ImageSummary& image) {
  if (!image.recognised) {
    return image.file_size_bytes == 0
               ? ""
               : "  a file of " + HumanBytes(image.file_size_bytes) + "\n";
  }
  std::string text = "qcow2 version " + std::to_string(image.version);
  text += ", disk " + HumanBytes(image.virtual_size_bytes);
  text += ", clusters " + HumanBytes(image.cluster_size_bytes);
  text += ", file " + HumanBytes(image.file_size_bytes);
  if (image.snapshots > 0) {
    text += ", " + Counted(image.snapshots, "snapshot", "snapshots");
  }
  if (image.bitmaps > 0) {
    text += ", " + Counted(image.bitmaps, "bitmap", "bitmaps");
  }
  if (!image.encryption.empty())
    text += ", encrypted (" + image.encryption + ")";
  text = Wrap(text, 2, 2);
  if (!image.backing_file.empty()) {
    text += Wrap("backing file: " + Printable(image.backing_file), 2, 4);
  }
  if (!image.data_file.empty()) {
    text += Wrap("data file: " + Printable(image.data_file), 2, 4);
  }
  return text;
}

std::string ErrorLines(const ImageReport& report) {
  std::vector<std::string> errors = report.found.errors;
  if (report.transaction.has_value() && !report.transaction->error.ok()) {
    std::string error(report.transaction->error.message());
    if (std::find(errors.begin(), errors.end(), error) == errors.end()) {
      errors.push_back(std::move(error));
    }
  }
  std::string text;
  for (const std::string& error : errors) {
    text += Wrap("error: " + Printable(error), 2, 4);
  }
  return text;
}

// Whether a repair has something to do about any of the problems.
bool CanBeRepaired(const CheckReport& report) {
  return report.problems_omitted > 0 ||
         std::any_of(report.problems.begin(), report.problems.end(),
                     [](const checker::Finding& finding) {
                       return checker::RowOf(finding.problem).repair_class !=
                              checker::RepairClass::kNone;
                     });
}

// What the owner of the image had better do.
std::string Advice(const CheckReport& report) {
  if (report.cancelled) return "Check again; this is no verdict.";
  if (report.counts.corruptions > 0 && !CanBeRepaired(report)) {
    return "Do not start a guest on the image and do not write to it. Nothing "
           "here can be repaired: see that it is the right file, or restore it "
           "from a backup; --explain=CODE tells more about each finding.";
  }
  if (report.counts.corruptions > 0) {
    return "Do not start a guest on the image and do not write to it. Make a "
           "copy of the file first if you can, then see what --repair "
           "--dry-run would do; --explain=CODE tells more about each "
           "finding.";
  }
  if (report.status == CheckStatus::kError) {
    return "See the error above; nothing is known about the image.";
  }
  if (report.status == CheckStatus::kInconclusive) {
    return "See the errors above; what could not be read is not known to be "
           "sound. If the storage is failing, copy the image first.";
  }
  if (report.counts.leaks > 0) {
    return "The image can be used. The leaked space stays lost until "
           "--repair=leaks frees it.";
  }
  return {};
}

std::string Closing(const ImageReport& report) {
  const CheckReport& found = report.found;
  const CheckReport& now = Now(report);
  std::string text;
  if (found.problems_omitted > 0) {
    text += Wrap(std::to_string(found.problems_omitted) +
                     " more findings are not listed; see --max-problems.",
                 0, 0);
  }
  // A repair says itself what it leaves, and why.
  if (now.counts.suspect_orphans > 0 && !report.transaction.has_value()) {
    text += Wrap("Do not free leaked clusters (" +
                     std::to_string(now.counts.suspect_orphans) +
                     " of them may be what is left of guest data).",
                 0, 0);
  }
  const std::string advice = AdviceInWords(report);
  if (!advice.empty()) text += Wrap("What to do: " + advice, 0, 0);
  const int code = ExitCodeOf(report);
  text += "Exit code " + std::to_string(code) + ": " + DescribeExitCode(code) +
          ".\n";
  return text;
}

std::string ReadLine(const CheckReport& report) {
  const checker::Statistics& statistics = report.statistics;
  if (statistics.metadata_bytes == 0) return {};
  std::string text = "  read " + HumanBytes(statistics.metadata_bytes) +
                     " of metadata in " + HumanSeconds(statistics.seconds) +
                     "\n";
  if (report.counts.unreadable_bytes > 0) {
    text +=
        "  could not read " + HumanBytes(report.counts.unreadable_bytes) + "\n";
  }
  return text;
}

}  // namespace

std::string AdviceInWords(const ImageReport& report) {
  std::string advice =
      report.transaction.has_value() ? TransactionAdvice(report) : "";
  return advice.empty() ? Advice(Now(report)) : advice;
}

std::string VerdictInWords(const ImageReport& report) {
  return report.transaction.has_value() ? TransactionVerdict(report)
                                        : CheckVerdict(report.found);
}

std::string HumanReport(const ImageReport& report) {
  if (report.change.has_value()) return ChangeText(report);
  const CheckReport& found = report.found;
  std::string text = Verdict(report) + ImageLine(found.image) +
                     ReadLine(found) + ErrorLines(report);
  // Once something was planned, that says what a repair does.
  const bool planned =
      report.transaction.has_value() && !report.transaction->plan.empty();
  const FindingArrangement arrangement = ArrangeFindings(found);
  for (const FindingGroup& group : arrangement.groups) {
    text += GroupText(group, arrangement.consequences, planned);
  }
  const std::string transaction =
      report.transaction.has_value() ? TransactionText(report) : "";
  text += transaction;
  if (!arrangement.groups.empty() || !transaction.empty()) text += "\n";
  return text + Closing(report);
}

}  // namespace qcow2::cli
