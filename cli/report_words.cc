#include "cli/report_words.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "cli/units.h"

namespace qcow2::cli {

using checker::CheckReport;
using checker::CheckStatus;

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

std::string_view StatusWord(const CheckReport& report) {
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

std::string FindingIds(const CheckReport& report, checker::Problem problem) {
  constexpr size_t kShown = 6;
  std::vector<uint32_t> ids;
  for (const auto* list : {&report.problems, &report.warnings}) {
    for (const checker::Finding& finding : *list) {
      if (finding.problem == problem) ids.push_back(finding.id);
    }
  }
  std::string text;
  for (size_t i = 0; i < std::min(ids.size(), kShown); ++i) {
    text += " #" + std::to_string(ids[i]);
  }
  return ids.size() > kShown ? text + " ..." : text;
}

}  // namespace qcow2::cli
