#include "cli/human_printer.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "checker/printable.h"
#include "cli/exit_code.h"
#include "cli/explain.h"
#include "cli/units.h"
#include "cli/word_wrap.h"

namespace qcow2::cli {
namespace {

using checker::CheckReport;
using checker::CheckStatus;
using checker::Finding;
using checker::GuestRange;
using checker::Printable;
using checker::ProblemRow;

// Guest ranges and consequences printed for one finding; JSON has them all.
constexpr size_t kGuestRangesShown = 4;
constexpr size_t kConsequencesShown = 10;

constexpr size_t kFindingIndent = 2;
constexpr size_t kDetailIndent = 6;
constexpr size_t kDetailTextIndent = 14;

// Findings of one problem that no other finding explains.
struct Group {
  const ProblemRow* row;
  std::vector<const Finding*> findings;
};

using Consequences = std::unordered_map<uint32_t, std::vector<const Finding*>>;

// The findings sorted into what stands on its own and what follows from it.
struct Arrangement {
  std::vector<Group> groups;  // the most severe first, else as in the report
  Consequences consequences;  // by the id of their cause
};

bool StandsAlone(const Finding& finding) {
  return finding.root_cause == 0 || finding.root_cause == finding.id;
}

void AddToGroup(const Finding& finding, std::vector<Group>& groups) {
  const ProblemRow& row = checker::RowOf(finding.problem);
  const auto group =
      std::find_if(groups.begin(), groups.end(),
                   [&](const Group& g) { return g.row == &row; });
  if (group == groups.end()) {
    groups.push_back({&row, {&finding}});
  } else {
    group->findings.push_back(&finding);
  }
}

Arrangement Arrange(const CheckReport& report) {
  std::vector<const Finding*> all;
  for (const Finding& finding : report.problems) all.push_back(&finding);
  for (const Finding& finding : report.warnings) all.push_back(&finding);
  std::unordered_map<uint32_t, const Finding*> causes;
  for (const Finding* finding : all) {
    if (StandsAlone(*finding)) causes.emplace(finding->id, finding);
  }
  Arrangement arrangement;
  for (const Finding* finding : all) {
    if (!StandsAlone(*finding) && causes.contains(finding->root_cause)) {
      arrangement.consequences[finding->root_cause].push_back(finding);
    } else {
      AddToGroup(*finding, arrangement.groups);
    }
  }
  std::stable_sort(arrangement.groups.begin(), arrangement.groups.end(),
                   [](const Group& a, const Group& b) {
                     return a.row->severity < b.row->severity;
                   });
  return arrangement;
}

std::string DescribeGuestRange(const GuestRange& range) {
  const uint64_t last = range.offset_bytes + range.length_bytes - 1;
  std::string text = range.length_bytes == 0
                         ? "at byte " + std::to_string(range.offset_bytes)
                         : "bytes " + std::to_string(range.offset_bytes) + "-" +
                               std::to_string(last) + " (" +
                               HumanBytes(range.length_bytes) + " at " +
                               HumanBytes(range.offset_bytes) + ")";
  if (range.vm_state) text += ", saved machine state";
  if (!range.snapshot.empty()) {
    text += " of snapshot \"" + Printable(range.snapshot) + "\"";
  }
  return text;
}

// "      label:  text", wrapped.
std::string Detail(std::string_view label, std::string_view text) {
  std::string line(label);
  line += ":";
  line.append(std::max(line.size() + 1, kDetailTextIndent - kDetailIndent) -
                  line.size(),
              ' ');
  return Wrap(line.append(text), kDetailIndent, kDetailTextIndent);
}

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
  return Wrap(FindingLine(finding, ""), kFindingIndent, kDetailIndent) +
         GuestDetails(finding) + OwnersDetail(finding) +
         ConsequenceLines(finding, consequences);
}

std::string GroupText(const Group& group, const Consequences& consequences) {
  const ProblemRow& row = *group.row;
  uint64_t occurrences = 0;
  for (const Finding* finding : group.findings) occurrences += finding->count;
  std::string text = "\n";
  text.append(NameOf(row.severity)).append(": ").append(row.code);
  text += " (" + std::to_string(row.number) + ")";
  if (occurrences > 1) text += ", " + std::to_string(occurrences) + " times";
  text += "\n";
  text += Wrap(row.meaning, kFindingIndent, kFindingIndent);
  text += Wrap("A repair would do this: " + DescribeRepair(row) + ".",
               kFindingIndent, kFindingIndent);
  for (const Finding* finding : group.findings) {
    text += FindingText(*finding, consequences);
  }
  return text;
}

std::string CountsInWords(const CheckReport& report) {
  const checker::Counts& counts = report.counts;
  std::vector<std::string> parts;
  if (counts.corruptions > 0) {
    parts.push_back(Counted(counts.corruptions, "corruption", "corruptions"));
  }
  if (counts.leaks > 0) {
    parts.push_back(Counted(counts.leaks, "leak", "leaks"));
  }
  if (counts.warnings > 0) {
    parts.push_back(Counted(counts.warnings, "warning", "warnings"));
  }
  if (counts.notes > 0) parts.push_back(Counted(counts.notes, "note", "notes"));
  std::string text;
  for (const std::string& part : parts) {
    text.append(text.empty() ? "" : ", ").append(part);
  }
  if (!text.empty()) return text;
  if (report.cancelled) return "nothing found by then";
  return report.status == CheckStatus::kInconclusive ? "nothing found elsewhere"
                                                     : "no problems found";
}

std::string_view VerdictWord(const CheckReport& report) {
  if (report.cancelled) return "CANCELLED before the end";
  switch (report.status) {
    case CheckStatus::kClean:
      return "clean";
    case CheckStatus::kLeaks:
      return "LEAKS";
    case CheckStatus::kCorrupt:
      return "CORRUPT";
    case CheckStatus::kInconclusive:
      return "INCONCLUSIVE, a part could not be checked";
    case CheckStatus::kError:
      return "NOT CHECKED";
  }
  return "";
}

std::string Verdict(const CheckReport& report) {
  std::string text = Printable(report.image.path) + ": ";
  text += VerdictWord(report);
  const bool counted = report.status != CheckStatus::kError ||
                       !report.problems.empty() || !report.warnings.empty();
  if (counted) text += ": " + CountsInWords(report);
  const bool harmless = report.status == CheckStatus::kLeaks &&
                        report.counts.suspect_orphans == 0;
  if (harmless) text += "; no data is at risk";
  return text + "\n";
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

std::string ErrorLines(const CheckReport& report) {
  std::string text;
  for (const std::string& error : report.errors) {
    text += Wrap("error: " + Printable(error), 2, 4);
  }
  return text;
}

// What the owner of the image had better do.
std::string Advice(const CheckReport& report) {
  if (report.cancelled) return "Check again; this is no verdict.";
  if (report.counts.corruptions > 0) {
    return "Do not start a guest on the image and do not write to it. Make a "
           "copy of the file first, then decide from the findings above; "
           "--explain=CODE tells more about each.";
  }
  if (report.status == CheckStatus::kError) {
    return "See the error above; nothing is known about the image.";
  }
  if (report.status == CheckStatus::kInconclusive) {
    return "See the errors above; what could not be read is not known to be "
           "sound. If the storage is failing, copy the image first.";
  }
  if (report.counts.leaks > 0) {
    return "The image can be used. The leaked space stays lost until it is "
           "freed.";
  }
  return {};
}

std::string Closing(const CheckReport& report) {
  std::string text;
  if (report.problems_omitted > 0) {
    text += Wrap(std::to_string(report.problems_omitted) +
                     " more findings are not listed; see --max-problems.",
                 0, 0);
  }
  if (report.counts.suspect_orphans > 0) {
    text += Wrap("Do not free leaked clusters (" +
                     std::to_string(report.counts.suspect_orphans) +
                     " of them may be what is left of guest data).",
                 0, 0);
  }
  const std::string advice = Advice(report);
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

std::string HumanReport(const CheckReport& report) {
  std::string text = Verdict(report) + ImageLine(report.image) +
                     ReadLine(report) + ErrorLines(report);
  const Arrangement arrangement = Arrange(report);
  for (const Group& group : arrangement.groups) {
    text += GroupText(group, arrangement.consequences);
  }
  if (!arrangement.groups.empty()) text += "\n";
  return text + Closing(report);
}

}  // namespace qcow2::cli
