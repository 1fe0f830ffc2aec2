// What can be wrong with an image: the problem table as C++ values.
//
// Everything here is generated from problem_table.inc. Pure: no I/O.
#ifndef CHECKER_PROBLEMS_H_
#define CHECKER_PROBLEMS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace qcow2::checker {

// The part of the format a problem belongs to; also the hundreds of its number.
enum class Area {
  kHeader,
  kExtension,
  kRefcount,
  kL1,
  kL2,
  kOverlap,
  kSnapshot,
  kBitmap,
  kEncryption,
  kOtherFile,
  kDeep,
  kOperation,
};

// How bad it is for the owner of the image; apart from the exit code.
enum class Severity { kCorruption, kLeak, kWarning, kNote };

// What `qemu-img check` makes of a problem (see problem_table.inc).
enum class QemuClass {
  kCorruption,
  kLeak,
  kCheckError,
  kRefused,
  kUnseen,
  kNeither
};

// Whether a repair may lose guest data over it.
enum class RepairClass { kSafe, kLossy, kNone };

enum class RepairAction {
#define REPAIR_ACTION(symbol, slug, text) k##symbol,
#define PROBLEM(...)
#include "checker/problem_table.inc"
#undef REPAIR_ACTION
#undef PROBLEM
};

enum class Problem {
#define REPAIR_ACTION(...)
#define PROBLEM(symbol, ...) k##symbol,
#include "checker/problem_table.inc"
#undef REPAIR_ACTION
#undef PROBLEM
};

// One row of the table. All texts live as long as the program.
struct ProblemRow {
  Problem problem;
  int number;
  std::string_view code;  // the slug, e.g. "refcount-too-low"
  Area area;
  Severity severity;
  QemuClass qemu;
  RepairAction action;
  RepairClass repair_class;
  std::string_view message;  // template, see problem_table.inc
  std::string_view meaning;
  std::string_view spec;
};

struct RepairActionRow {
  RepairAction action;
  std::string_view code;
  std::string_view text;
};

// All rows in ascending order of their numbers.
std::span<const ProblemRow> AllProblems();
const ProblemRow& RowOf(Problem problem);
// Whether a finding of a corruption says that guest data is lost or in danger.
// A wrong COPIED flag takes none: one that is missing costs a copy, one of a
// compressed cluster is not looked at, and that of an L1 entry is about one
// table, although the finding names all that it maps.
bool EndangersGuestData(Problem problem);
// By code ("refcount-too-low") or number ("310").
std::optional<Problem> FindProblem(std::string_view code_or_number);

std::span<const RepairActionRow> AllRepairActions();
const RepairActionRow& RowOf(RepairAction action);

// The names used in reports: "corruption", "header", "unseen", "safe" ...
std::string_view NameOf(Severity severity);
std::string_view NameOf(Area area);
std::string_view NameOf(QemuClass qemu);
std::string_view NameOf(RepairClass repair_class);

}  // namespace qcow2::checker

#endif  // CHECKER_PROBLEMS_H_
