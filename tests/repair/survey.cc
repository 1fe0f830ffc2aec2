// Prints what becomes of every corpus case (or those named as arguments),
// repaired by us and by qemu-img; with SURVEY_PLAN set the plans, too.
//   E not proven, Q clean by qemu-img only, W more bytes wrong than with
//   qemu-img, l damage left, w bytes wrong
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "absl/strings/str_join.h"
#include "tests/corpus/corpus_case.h"
#include "tests/repair/corpus_patient.h"
#include "tests/repair/trial.h"

namespace qcow2 {
namespace {

std::string Words(const Outcome& outcome) {
  std::string text =
      outcome.error.empty() ? "" : "ERROR " + outcome.error + " ";
  text += outcome.clean() ? "clean"
                          : absl::StrJoin(ProblemsIn(outcome.report), ",");
  if (!outcome.wrong.empty()) {
    text += " WRONG";
    int n = 0;
    for (const WrongRange& range : outcome.wrong) {
      if (++n > 4) {
        text += " ...";
        break;
      }
      text += " [" + Describe(range) + "]";
    }
  }
  return text;
}

// A letter for what stands out: an error, qemu-img alone clean, more that is
// wrong than after it, not clean, or something wrong.
const char* MarkOf(const OurOutcome& ours, const Outcome& qemu) {
  if (!ours.error.empty()) return "E ";
  if (qemu.clean() && !ours.clean()) return "Q ";
  if (BytesIn(ours.wrong) > BytesIn(qemu.wrong)) return "W ";
  if (!ours.clean()) return "l ";
  return ours.wrong.empty() ? "  " : "w ";
}

void Survey(const std::string& name) {
  auto patient = corpus::CorpusPatient::Admit(name);
  if (!patient.ok()) {
    std::printf("%s: %s\n", name.c_str(), patient.status().ToString().c_str());
    return;
  }
  const Patient& it = (*patient)->patient();
  const Outcome before = LeaveAlone(it);
  const OurOutcome ours = RepairByUs(it, repair::Mode::kAll);
  if (std::getenv("SURVEY_PLAN") != nullptr) {
    for (const auto& edit : ours.plan.edits()) {
      std::printf("    edit: %s: %s -> %s (%lu)\n", edit.where.c_str(),
                  edit.before.c_str(), edit.after.c_str(), edit.count);
    }
    for (const auto& change : ours.plan.guest_changes()) {
      std::printf("    guest: %lx+%lx of '%s' %s: %s\n",
                  change.range.offset_bytes, change.range.length_bytes,
                  change.range.snapshot.c_str(),
                  change.kind == repair::GuestChange::Kind::kLost ? "lost"
                                                                  : "recovered",
                  change.reason.c_str());
    }
  }
  const Outcome qemu = RepairByQemu(it);
  std::printf("%s%s\n    before: %s\n    ours:   %s\n    qemu:   %s\n",
              MarkOf(ours, qemu), name.c_str(), Words(before).c_str(),
              Words(ours).c_str(), Words(qemu).c_str());
}

}  // namespace
}  // namespace qcow2

int main(int argc, char** argv) {
  if (argc > 1) {
    for (int i = 1; i < argc; ++i) qcow2::Survey(argv[i]);
    return 0;
  }
  for (const std::string& name : qcow2::corpus::CaseNames()) {
    qcow2::Survey(name);
  }
}
