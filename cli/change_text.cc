#include "cli/change_text.h"

#include <vector>

#include "checker/printable.h"
#include "cli/report_words.h"
#include "cli/units.h"
#include "cli/word_wrap.h"

namespace qcow2::cli {
namespace {

std::string Item(const std::string& text) { return Wrap(text, 2, 4); }

void AddNew(const std::vector<checker::Finding>& findings, std::string& text) {
  for (const checker::Finding& finding : findings) {
    const checker::ProblemRow& row = checker::RowOf(finding.problem);
    std::string item = "new ";
    item.append(NameOf(row.severity)).append(": ").append(row.code);
    text += Item(item + " (" + std::to_string(row.number) +
                 "): " + DescribeFinding(finding));
  }
}

}  // namespace

std::string ChangeText(const ImageReport& report) {
  const ImageChange& change = *report.change;
  std::string text = checker::Printable(report.found.image.path) + ": " +
                     Counted(change.problems.size() + change.warnings.size(),
                             "new finding", "new findings") +
                     ", " + Counted(change.gone.size(), "gone", "gone") +
                     "; now " + CountsInWords(report.found) + "\n";
  if (change.newly_failed) {
    text += Item("could be checked before, and now it cannot, or in part only");
    for (const std::string& error : report.found.errors) {
      text += Item(checker::Printable(error));
    }
  }
  AddNew(change.problems, text);
  AddNew(change.warnings, text);
  for (const GoneFinding& gone : change.gone) {
    text += Item("gone " + gone.severity + ": " + gone.code + ": " +
                 checker::Printable(gone.message));
  }
  return text;
}

}  // namespace qcow2::cli
