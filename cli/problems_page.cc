#include "cli/problems_page.h"

#include <cctype>
#include <optional>
#include <string_view>

#include "checker/problems.h"
#include "cli/explain.h"

namespace qcow2::cli {
namespace {

using checker::Area;
using checker::ProblemRow;

constexpr std::string_view kIntroduction =
    R"(# Every problem qcow2-fsck reports

This page is made from `checker/problem_table.inc`; change that, not this.
`qcow2-fsck --explain=CODE` prints the same for one problem.

Numbers are never reused; the hundreds are the area. In the messages `{where}`
stands for the place, `{actual}` and `{expected}` for values (`:x`: in
hexadecimal) and `{detail}` for more words. "Repair" is what mends the problem,
see [repair.md](repair.md). "qemu-img" is what `qemu-img check` 7.2 makes of it,
and `--compat=qemu-img` with it.
)";

std::string_view TitleOf(Area area) {
  switch (area) {
    case Area::kHeader:
      return "1xx: the file and the header";
    case Area::kExtension:
      return "2xx: header extensions";
    case Area::kRefcount:
      return "3xx: refcounts";
    case Area::kL1:
      return "4xx: L1 tables";
    case Area::kL2:
      return "5xx: L2 tables";
    case Area::kOverlap:
      return "6xx: overlaps";
    case Area::kSnapshot:
      return "7xx: snapshots";
    case Area::kBitmap:
      return "8xx: bitmaps";
    case Area::kEncryption:
      return "9xx: encryption";
    case Area::kOtherFile:
      return "10xx: other files";
    case Area::kDeep:
      return "11xx: found with --deep";
    case Area::kOperation:
      return "12xx: the check itself";
  }
  return "";
}

// The name GitHub and others give to a heading of docs/format.md.
std::string AnchorOf(std::string_view heading) {
  std::string anchor;
  for (const char c : heading) {
    if (c == ' ' || c == '-') {
      anchor += '-';
    } else if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      anchor += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return anchor;
}

std::string RowText(const ProblemRow& row) {
  std::string text = "\n### " + std::to_string(row.number) + " ";
  text.append(row.code).append("\n\n");
  text.append(row.meaning).append("\n\n");
  text.append("- Message: `").append(row.message).append("`\n");
  text.append("- Severity: ").append(NameOf(row.severity)).append("\n");
  text.append("- Repair: ").append(DescribeRepair(row)).append("\n");
  text.append("- qemu-img: ").append(DescribeQemuClass(row.qemu)).append("\n");
  text.append("- Format: [").append(row.spec).append("](format.md#");
  return text.append(AnchorOf(row.spec)).append(")\n");
}

}  // namespace

std::string ProblemsPage() {
  std::string text(kIntroduction);
  std::optional<Area> area;
  for (const ProblemRow& row : checker::AllProblems()) {
    if (area != row.area) {
      area = row.area;
      text.append("\n## ").append(TitleOf(row.area)).append("\n");
    }
    text += RowText(row);
  }
  return text;
}

}  // namespace qcow2::cli
