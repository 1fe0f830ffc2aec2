#include "checker/problems.h"

#include <array>
#include <string>

namespace qcow2::checker {
namespace {

constexpr ProblemRow kProblems[] = {
#define REPAIR_ACTION(...)
#define PROBLEM(symbol, number, slug, area, severity, qemu, action, \
                repair_class, message, meaning, spec)               \
  {Problem::k##symbol,                                              \
   number,                                                          \
   slug,                                                            \
   Area::k##area,                                                   \
   Severity::k##severity,                                           \
   QemuClass::k##qemu,                                              \
   RepairAction::k##action,                                         \
   RepairClass::k##repair_class,                                    \
   message,                                                         \
   meaning,                                                         \
   spec},
#include "checker/problem_table.inc"
#undef REPAIR_ACTION
#undef PROBLEM
};

constexpr RepairActionRow kActions[] = {
#define REPAIR_ACTION(symbol, slug, text) {RepairAction::k##symbol, slug, text},
#define PROBLEM(...)
#include "checker/problem_table.inc"
#undef REPAIR_ACTION
#undef PROBLEM
};

// The numbers are what users and scripts remember: never twice, in order, and
// in the hundreds of their area.
constexpr bool TableIsOrdered() {
  int previous = 0;
  for (const ProblemRow& row : kProblems) {
    if (row.number <= previous) return false;
    if (row.number / 100 != static_cast<int>(row.area) + 1) return false;
    previous = row.number;
  }
  return true;
}
static_assert(TableIsOrdered());

constexpr bool CodesAreUnique() {
  for (size_t i = 0; i < std::size(kProblems); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (kProblems[i].code == kProblems[j].code) return false;
      if (kProblems[i].message == kProblems[j].message) return false;
    }
  }
  return true;
}
static_assert(CodesAreUnique());

}  // namespace

std::span<const ProblemRow> AllProblems() { return kProblems; }

const ProblemRow& RowOf(Problem problem) {
  return kProblems[static_cast<size_t>(problem)];
}

bool EndangersGuestData(Problem problem) {
  return RowOf(problem).severity == Severity::kCorruption &&
         problem != Problem::kL1CopiedWrong &&
         problem != Problem::kL1CopiedMissing &&
         problem != Problem::kL2CopiedMissing &&
         problem != Problem::kCompressedCopied;
}

std::optional<Problem> FindProblem(std::string_view code_or_number) {
  for (const ProblemRow& row : kProblems) {
    if (row.code == code_or_number ||
        std::to_string(row.number) == code_or_number) {
      return row.problem;
    }
  }
  return std::nullopt;
}

std::span<const RepairActionRow> AllRepairActions() { return kActions; }

const RepairActionRow& RowOf(RepairAction action) {
  return kActions[static_cast<size_t>(action)];
}

std::string_view NameOf(Severity severity) {
  static constexpr std::array<std::string_view, 4> kNames = {
      "corruption", "leak", "warning", "info"};
  return kNames[static_cast<size_t>(severity)];
}

std::string_view NameOf(Area area) {
  static constexpr std::array<std::string_view, 12> kNames = {
      "header",     "header-extension", "refcount", "l1",
      "l2",         "overlap",          "snapshot", "bitmap",
      "encryption", "other-file",       "deep",     "operation"};
  return kNames[static_cast<size_t>(area)];
}

std::string_view NameOf(QemuClass qemu) {
  static constexpr std::array<std::string_view, 6> kNames = {
      "corruption", "leak", "check-error", "refused", "unseen", "neither"};
  return kNames[static_cast<size_t>(qemu)];
}

std::string_view NameOf(RepairClass repair_class) {
  static constexpr std::array<std::string_view, 3> kNames = {"safe", "lossy",
                                                             "none"};
  return kNames[static_cast<size_t>(repair_class)];
}

}  // namespace qcow2::checker
