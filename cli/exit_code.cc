#include "cli/exit_code.h"

namespace qcow2::cli {
namespace {

constexpr ExitCodeRow kRows[] = {
    {kExitClean, "nothing is wrong"},
    {kExitMended, "errors or leaks were mended"},
    {kExitErrorsLeft, "errors or leaks are left in an image"},
    {kExitOperationalError, "something could not be opened, read or written"},
    {kExitUsageError, "the options are wrong"},
    {kExitCancelled, "the run was cancelled"},
};

}  // namespace

std::span<const ExitCodeRow> AllExitCodes() { return kRows; }

std::string DescribeExitCode(int code) {
  if (code == kExitClean) return std::string(kRows[0].meaning);
  std::string text;
  for (const ExitCodeRow& row : kRows) {
    if ((code & row.code) == 0) continue;
    if (!text.empty()) text += "; ";
    text += row.meaning;
  }
  return text;
}

int ExitCodeOf(const checker::CheckReport& report) {
  using checker::CheckStatus;
  if (report.cancelled) return kExitCancelled;
  int code = kExitClean;
  if (report.counts.corruptions > 0 || report.counts.leaks > 0 ||
      report.status == CheckStatus::kLeaks ||
      report.status == CheckStatus::kCorrupt) {
    code |= kExitErrorsLeft;
  }
  // A corrupt image of which a part could not be read is both.
  if (report.status == CheckStatus::kInconclusive ||
      report.status == CheckStatus::kError ||
      report.counts.unreadable_bytes > 0 || !report.errors.empty()) {
    code |= kExitOperationalError;
  }
  return code;
}

int ExitCodeOf(const ImageReport& report) {
  if (report.change.has_value()) return report.change->exit_code;
  const int code = ExitCodeOf(Now(report));
  if (!report.transaction.has_value()) return code;
  const repair::TransactionReport& transaction = *report.transaction;
  if (transaction.conclusion == repair::Conclusion::kCancelled) {
    return kExitCancelled;
  }
  // Damage is why nothing was discarded, and has its bit.
  const bool refused =
      transaction.action == repair::Action::kDiscardFreed &&
      transaction.conclusion == repair::Conclusion::kNotStarted &&
      (code & kExitErrorsLeft) != 0;
  const bool failed = (!transaction.error.ok() && !refused) ||
                      transaction.conclusion == repair::Conclusion::kNotProven;
  return code | (Mended(report) ? kExitMended : 0) |
         (failed ? kExitOperationalError : 0);
}

}  // namespace qcow2::cli
