#include "repair/header_bits_step.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/format/header.h"
#include "engine/status_macros.h"
#include "repair/table_soundness.h"
#include "repair/view_edit.h"

namespace qcow2::repair {
namespace {

using checker::Finding;
using checker::Problem;

// Whether the bits are the only thing that keeps the image from being clean.
// Leaks are no reason to keep it from being used; what could not be read is.
bool OnlyBitsAreLeft(const checker::CheckReport& report) {
  return SawEverything(report) &&
         std::all_of(report.problems.begin(), report.problems.end(),
                     [](const Finding& finding) {
                       return finding.problem == Problem::kCorruptBit ||
                              (checker::RowOf(finding.problem).severity ==
                                   checker::Severity::kLeak &&
                               !finding.suspect_orphan);
                     });
}

void AddEdit(Plan& plan, Problem problem, const std::string& bit) {
  plan.Add({problem, checker::RepairAction::kClearHeaderBit,
            absl::StrCat("header, ", bit, " bit"), "set", "clear", 1});
}

}  // namespace

absl::StatusOr<bool> ClearHeaderBits(RepairContext& context) {
  Header header = context.graph.model.header;
  if (header.version < 3 || !context.graph.model.geometry.has_value() ||
      !header.has_incompatible(kIncompatibleDirty | kIncompatibleCorrupt) ||
      !OnlyBitsAreLeft(context.report)) {
    return false;
  }
  if (header.has_incompatible(kIncompatibleDirty)) {
    AddEdit(context.plan, Problem::kDirtyBit, "dirty");
  }
  if (header.has_incompatible(kIncompatibleCorrupt)) {
    AddEdit(context.plan, Problem::kCorruptBit, "corrupt");
  }
  header.incompatible_features &= ~(kIncompatibleDirty | kIncompatibleCorrupt);
  RETURN_IF_ERROR(WriteHeader(context.view, header));
  return true;
}

}  // namespace qcow2::repair
