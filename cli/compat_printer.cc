#include "cli/compat_printer.h"

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace qcow2::cli {
namespace {

using checker::CheckReport;
using checker::Finding;
using checker::Problem;
using checker::QemuClass;
using Json = nlohmann::ordered_json;

uint64_t Corruptions(const CheckReport& report) {
  return report.qemu.corruptions + report.qemu.unseen;
}

double Percent(uint64_t part, uint64_t whole) {
  return static_cast<double>(part) * 100.0 / static_cast<double>(whole);
}

std::string AllocationLine(const checker::AllocationSummary& allocation) {
  const uint64_t allocated = allocation.allocated_clusters;
  if (allocation.total_clusters == 0 || allocated == 0) return {};
  char text[160];
  std::snprintf(text, sizeof text,
                "%" PRIu64 "/%" PRIu64
                " = %.2f%% allocated, %.2f%% fragmented, %.2f%% compressed "
                "clusters\n",
                allocated, allocation.total_clusters,
                Percent(allocated, allocation.total_clusters),
                Percent(allocation.fragmented_clusters, allocated),
                Percent(allocation.compressed_clusters, allocated));
  return text;
}

// qemu-img leaves optional keys out when they are zero.
void AddUnlessZero(const char* key, uint64_t value, Json& object) {
  if (value != 0) object[key] = value;
}

bool IsRefcount(Problem problem) {
  return problem == Problem::kRefcountTooLow ||
         problem == Problem::kRefcountTooHigh ||
         problem == Problem::kClusterLeaked;
}

// "cluster 5 refcount=1 reference=0"; a run is "clusters 5-9 ...".
std::string RefcountText(const Finding& finding) {
  const uint64_t first = finding.host ? finding.host->first_cluster : 0;
  const uint64_t clusters = finding.host ? finding.host->clusters : 1;
  std::string text = "cluster " + std::to_string(first);
  if (clusters > 1) {
    text = "clusters " + std::to_string(first) + "-" +
           std::to_string(first + (clusters - 1));
  }
  return text + " refcount=" + std::to_string(finding.actual.value_or(0)) +
         " reference=" + std::to_string(finding.expected.value_or(0));
}

std::string FindingLine(const Finding& finding) {
  const QemuClass qemu = checker::RowOf(finding.problem).qemu;
  if (qemu == QemuClass::kNeither) return {};
  const std::string prefix = qemu == QemuClass::kLeak ? "Leaked " : "ERROR ";
  return prefix +
         (IsRefcount(finding.problem) ? RefcountText(finding)
                                      : DescribeFinding(finding)) +
         "\n";
}

std::string FixedText(const CompatFixed& fixed) {
  if (!fixed.any()) return {};
  return "The following inconsistencies were found and repaired:\n\n    " +
         std::to_string(fixed.leaks) + " leaked clusters\n    " +
         std::to_string(fixed.corruptions) +
         " corruptions\n\nDouble checking the fixed image now...\n";
}

}  // namespace

CompatFixed CompatFixedBetween(const CheckReport& before,
                               const CheckReport& after) {
  const auto less = [](uint64_t a, uint64_t b) { return a > b ? a - b : 0; };
  CompatFixed fixed = {
      .corruptions = less(Corruptions(before), Corruptions(after)),
      .leaks = less(before.qemu.leaks, after.qemu.leaks)};
  // qemu-img counts nothing in an image that it does not open; now it does.
  if (before.qemu.refused && !after.qemu.refused) {
    fixed.corruptions =
        std::max(fixed.corruptions,
                 less(before.counts.corruptions, after.counts.corruptions));
  }
  return fixed;
}

std::string CompatHumanReport(const CheckReport& report,
                              const CompatFixed& fixed) {
  const checker::QemuCounts& counts = report.qemu;
  const std::string repaired = FixedText(fixed);
  std::string text;
  if (Corruptions(report) > 0) {
    text += "\n" + std::to_string(Corruptions(report)) +
            " errors were found on the image.\nData may be corrupted, or "
            "further writes to the image may corrupt it.\n";
  }
  if (counts.leaks > 0) {
    text += "\n" + std::to_string(counts.leaks) +
            " leaked clusters were found on the image.\nThis means waste of "
            "disk space, but no harm to data.\n";
  }
  if (counts.check_errors > 0) {
    text += "\n" + std::to_string(counts.check_errors) +
            " internal errors have occurred during the check.\n";
  }
  if (text.empty()) text = "No errors were found on the image.\n";
  text += AllocationLine(report.allocation);
  const uint64_t end = report.image.image_end_offset_bytes;
  if (end != 0) text += "Image end offset: " + std::to_string(end) + "\n";
  return repaired + text;
}

std::string CompatJsonReport(const CheckReport& report,
                             const CompatFixed& fixed) {
  Json json;
  AddUnlessZero("image-end-offset", report.image.image_end_offset_bytes, json);
  AddUnlessZero("compressed-clusters", report.allocation.compressed_clusters,
                json);
  AddUnlessZero("total-clusters", report.allocation.total_clusters, json);
  AddUnlessZero("corruptions", Corruptions(report), json);
  AddUnlessZero("corruptions-fixed", fixed.corruptions, json);
  json["check-errors"] = report.qemu.check_errors;
  AddUnlessZero("leaks", report.qemu.leaks, json);
  AddUnlessZero("leaks-fixed", fixed.leaks, json);
  AddUnlessZero("allocated-clusters", report.allocation.allocated_clusters,
                json);
  json["filename"] = report.image.path;
  json["format"] = "qcow2";
  AddUnlessZero("fragmented-clusters", report.allocation.fragmented_clusters,
                json);
  AddUnlessZero("corruptions-unseen-by-qemu-img", report.qemu.unseen, json);
  return json.dump(4, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string CompatFindingLines(const CheckReport& report) {
  std::string text;
  for (const Finding& finding : report.problems) text += FindingLine(finding);
  for (const Finding& finding : report.warnings) text += FindingLine(finding);
  if (report.problems_omitted > 0) {
    text += std::to_string(report.problems_omitted) +
            " more findings are not listed\n";
  }
  return text;
}

CompatExitCode CompatExitCodeOf(const CheckReport& report) {
  if (report.cancelled || report.qemu.refused || report.qemu.check_errors > 0 ||
      report.status == checker::CheckStatus::kError) {
    return kCompatNotChecked;
  }
  if (Corruptions(report) > 0) return kCompatCorruptions;
  return report.qemu.leaks > 0 ? kCompatLeaks : kCompatClean;
}

}  // namespace qcow2::cli
