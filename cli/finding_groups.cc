#include "cli/finding_groups.h"

#include <algorithm>

namespace qcow2::cli {

using checker::CheckReport;
using checker::Finding;
using checker::ProblemRow;

namespace {

bool StandsAlone(const Finding& finding) {
  return finding.root_cause == 0 || finding.root_cause == finding.id;
}

void AddToGroup(const Finding& finding, std::vector<FindingGroup>& groups) {
  const ProblemRow& row = checker::RowOf(finding.problem);
  const auto group =
      std::find_if(groups.begin(), groups.end(),
                   [&](const FindingGroup& g) { return g.row == &row; });
  if (group == groups.end()) {
    groups.push_back({&row, {&finding}});
  } else {
    group->findings.push_back(&finding);
  }
}

}  // namespace

FindingArrangement ArrangeFindings(const CheckReport& report) {
  std::vector<const Finding*> all;
  for (const Finding& finding : report.problems) all.push_back(&finding);
  for (const Finding& finding : report.warnings) all.push_back(&finding);
  std::unordered_map<uint32_t, const Finding*> causes;
  for (const Finding* finding : all) {
    if (StandsAlone(*finding)) causes.emplace(finding->id, finding);
  }
  FindingArrangement arrangement;
  for (const Finding* finding : all) {
    if (!StandsAlone(*finding) && causes.contains(finding->root_cause)) {
      arrangement.consequences[finding->root_cause].push_back(finding);
    } else {
      AddToGroup(*finding, arrangement.groups);
    }
  }
  std::stable_sort(arrangement.groups.begin(), arrangement.groups.end(),
                   [](const FindingGroup& a, const FindingGroup& b) {
                     return a.row->severity < b.row->severity;
                   });
  return arrangement;
}

}  // namespace qcow2::cli
