#include "cli/image_report.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

namespace qcow2::cli {

using checker::CheckStatus;
using repair::Action;
using repair::Conclusion;

ImageReport FromRepair(repair::RepairReport report) {
  ImageReport result = {.found = std::move(report.before),
                        .after = std::move(report.after),
                        .transaction = std::move(report.transaction)};
  // What came to light behind the damage that was mended stands with the rest.
  if (result.transaction->conclusion == Conclusion::kCommitted) {
    for (const checker::Finding& finding : result.transaction->appeared) {
      AddFinding(finding, result.found);
    }
  }
  return result;
}

void AddFinding(checker::Finding finding, checker::CheckReport& report) {
  uint32_t id = 0;
  for (const auto* list : {&report.problems, &report.warnings}) {
    for (const checker::Finding& other : *list) id = std::max(id, other.id);
  }
  finding.id = finding.root_cause = id + 1;
  const checker::Severity severity = checker::RowOf(finding.problem).severity;
  const bool problem = severity == checker::Severity::kCorruption ||
                       severity == checker::Severity::kLeak;
  (problem ? report.problems : report.warnings).push_back(std::move(finding));
}

std::string_view NameOf(ImageStatus status) {
  static constexpr std::array<std::string_view, StatusCounts().size()> kNames =
      {"clean",        "leaks", "corrupt", "repaired", "partially-repaired",
       "inconclusive", "error"};
  return kNames[static_cast<size_t>(status)];
}

std::string StatusesInWords(const StatusCounts& by_status) {
  std::string text;
  for (size_t i = 0; i < by_status.size(); ++i) {
    if (by_status[i] == 0) continue;
    if (!text.empty()) text += ", ";
    text += NameOf(static_cast<ImageStatus>(i));
    text += " " + std::to_string(by_status[i]);
  }
  return text;
}

bool Mended(const ImageReport& report) {
  if (!report.transaction.has_value()) return false;
  const repair::TransactionReport& transaction = *report.transaction;
  const bool rolled_forward =
      transaction.recovered.has_value() &&
      transaction.recovered->found == repair::JournalState::kCommitted &&
      transaction.recovered->image == repair::ImageState::kNew;
  return rolled_forward || (transaction.action == Action::kRepair &&
                            transaction.conclusion == Conclusion::kCommitted);
}

const checker::CheckReport& Now(const ImageReport& report) {
  const bool changed = report.transaction.has_value() &&
                       report.transaction->conclusion == Conclusion::kCommitted;
  return changed && report.after.has_value() ? *report.after : report.found;
}

ImageStatus StatusOf(const ImageReport& report) {
  const CheckStatus now = Now(report).status;
  if (Mended(report) && now != CheckStatus::kError) {
    return now == CheckStatus::kClean ? ImageStatus::kRepaired
                                      : ImageStatus::kPartiallyRepaired;
  }
  switch (now) {
    case CheckStatus::kClean:
      return ImageStatus::kClean;
    case CheckStatus::kLeaks:
      return ImageStatus::kLeaks;
    case CheckStatus::kCorrupt:
      return ImageStatus::kCorrupt;
    case CheckStatus::kInconclusive:
      return ImageStatus::kInconclusive;
    case CheckStatus::kError:
      break;
  }
  return ImageStatus::kError;
}

uint64_t LeakedBytes(const ImageReport& report) {
  const checker::CheckReport& now = Now(report);
  return now.counts.leaks * now.image.cluster_size_bytes;
}

}  // namespace qcow2::cli
