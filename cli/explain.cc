#include "cli/explain.h"

#include "cli/word_wrap.h"

namespace qcow2::cli {
namespace {

using checker::ProblemRow;
using checker::QemuClass;
using checker::RepairClass;

std::string ListProblems() {
  std::string text;
  for (const ProblemRow& row : checker::AllProblems()) {
    std::string number = std::to_string(row.number);
    number.insert(0, 4 - number.size(), ' ');
    text.append(number).append("  ").append(row.code).append("  (");
    text.append(NameOf(row.severity)).append(")\n");
  }
  return text;
}

}  // namespace

std::string_view DescribeQemuClass(QemuClass qemu) {
  switch (qemu) {
    case QemuClass::kCorruption:
      return "counted as a corruption";
    case QemuClass::kLeak:
      return "counted as a leak";
    case QemuClass::kCheckError:
      return "reported as an error of the check itself";
    case QemuClass::kRefused:
      return "the image is not opened, so nothing is checked";
    case QemuClass::kUnseen:
      return "not seen; --compat=qemu-img counts it as a corruption";
    case QemuClass::kNeither:
      return "not counted, nor does --compat=qemu-img";
  }
  return "";
}

std::string DescribeRepair(const ProblemRow& row) {
  std::string action(checker::RowOf(row.action).text);
  switch (row.repair_class) {
    case RepairClass::kSafe:
      return action + " (no guest data is lost by it)";
    case RepairClass::kLossy:
      return action + " (guest data may be lost; only done on request)";
    case RepairClass::kNone:
      return action;
  }
  return action;
}

std::optional<std::string> Explain(std::string_view code) {
  if (code == "list") return ListProblems();
  const std::optional<checker::Problem> problem = checker::FindProblem(code);
  if (!problem) return std::nullopt;
  const ProblemRow& row = checker::RowOf(*problem);
  std::string text(row.code);
  text += " (" + std::to_string(row.number) + ")\n\n";
  text += Wrap(row.meaning, 0, 0) + "\n";
  text += Wrap("Message:   " + std::string(row.message), 0, 11);
  text += "Severity:  " + std::string(NameOf(row.severity)) + "\n";
  text += "Area:      " + std::string(NameOf(row.area)) + "\n";
  text += Wrap("Repair:    " + DescribeRepair(row), 0, 11);
  text += Wrap("qemu-img:  " + std::string(DescribeQemuClass(row.qemu)), 0, 11);
  text +=
      "Format:    docs/format.md, section \"" + std::string(row.spec) + "\"\n";
  return text;
}

}  // namespace qcow2::cli
