#include "repair/table_soundness.h"

#include <algorithm>

#include "checker/problems.h"

namespace qcow2::repair {

bool SawEverything(const checker::CheckReport& report) {
  return !report.cancelled && report.errors.empty() &&
         report.counts.unreadable_bytes == 0 && report.problems_omitted == 0;
}

bool TablesAreSound(const checker::CheckReport& report) {
  return SawEverything(report) &&
         std::all_of(report.problems.begin(), report.problems.end(),
                     [](const checker::Finding& finding) {
                       return finding.problem ==
                                  checker::Problem::kCorruptBit ||
                              checker::RowOf(finding.problem).area ==
                                  checker::Area::kOtherFile;
                     });
}

}  // namespace qcow2::repair
