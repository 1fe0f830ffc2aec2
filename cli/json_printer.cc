#include "cli/json_printer.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "cli/exit_code.h"
#include "cli/finding_place.h"
#include "cli/json_values.h"
#include "cli/transaction_json.h"
#include "cli/version.h"

namespace qcow2::cli {
namespace {

using checker::CheckReport;
using checker::Finding;
using checker::HostRun;
using checker::ImageSummary;
using checker::Location;

Json ImageJson(const ImageSummary& image) {
  Json json;
  json["path"] = image.path;
  if (!image.recognised) {
    json["format"] = nullptr;
    json["file_size"] = image.file_size_bytes;
    return json;
  }
  json["format"] = "qcow2";
  json["version"] = image.version;
  json["virtual_size"] = image.virtual_size_bytes;
  json["cluster_size"] = image.cluster_size_bytes;
  json["refcount_bits"] = image.refcount_bits;
  json["file_size"] = image.file_size_bytes;
  json["image_end_offset"] = image.image_end_offset_bytes;
  json["snapshots"] = image.snapshots;
  json["bitmaps"] = image.bitmaps;
  json["features"] = image.features;
  AddUnlessEmpty("backing_file", image.backing_file, json);
  AddUnlessEmpty("data_file", image.data_file, json);
  AddUnlessEmpty("encryption", image.encryption, json);
  AddUnlessEmpty("compression_type", image.compression_type, json);
  return json;
}

Json CountsJson(const checker::Counts& counts, uint64_t fixed) {
  Json json;
  json["corruptions"] = counts.corruptions;
  json["leaks"] = counts.leaks;
  json["warnings"] = counts.warnings;
  json["notes"] = counts.notes;
  json["suspect_orphans"] = counts.suspect_orphans;
  json["fixed"] = fixed;
  json["unreadable_bytes"] = counts.unreadable_bytes;
  return json;
}

Json LocationJson(const Location& location) {
  Json json;
  json["structure"] = NameOf(location.structure);
  if (location.table_offset) json["table_offset"] = *location.table_offset;
  if (location.index) json["index"] = *location.index;
  AddUnlessEmpty("field", location.field, json);
  AddUnlessEmpty("snapshot", location.snapshot, json);
  return json;
}

Json HostJson(const HostRun& host) {
  Json json;
  json["first_cluster"] = host.first_cluster;
  json["clusters"] = host.clusters;
  json["offset"] = host.offset_bytes;
  return json;
}

Json RepairJson(const checker::ProblemRow& row, bool applied) {
  Json json;
  json["action"] = checker::RowOf(row.action).code;
  json["class"] = NameOf(row.repair_class);
  json["applied"] = applied;
  return json;
}

Json FindingJson(const Finding& finding, bool mended) {
  const checker::ProblemRow& row = checker::RowOf(finding.problem);
  Json json;
  json["id"] = finding.id;
  json["code"] = row.code;
  json["number"] = row.number;
  json["fingerprint"] = Fingerprint(PlaceOf(finding));
  json["severity"] = NameOf(row.severity);
  json["message"] = DescribeFinding(finding);
  json["count"] = finding.count;
  json["location"] = LocationJson(finding.location);
  if (finding.host) json["host"] = HostJson(*finding.host);
  json["guest"] = GuestJson(finding.guest);
  if (finding.guest_ranges_omitted > 0) {
    json["guest_ranges_omitted"] = finding.guest_ranges_omitted;
  }
  json["owners"] = checker::OwnerNames(finding.owners);
  if (finding.expected) json["expected"] = *finding.expected;
  if (finding.actual) json["actual"] = *finding.actual;
  json["root_cause"] =
      finding.root_cause == 0 ? finding.id : finding.root_cause;
  if (finding.suspect_orphan) json["suspect_orphan"] = true;
  json["repair"] = RepairJson(row, mended);
  return json;
}

// Whether the repair that was done, if any, mended the finding with this id.
bool IsMended(const ImageReport& report, uint32_t id) {
  if (!report.transaction.has_value() ||
      report.transaction->conclusion != repair::Conclusion::kCommitted) {
    return false;
  }
  const std::vector<uint32_t>& mended = report.transaction->mended;
  return std::binary_search(mended.begin(), mended.end(), id);
}

Json FindingsJson(const std::vector<Finding>& findings,
                  const ImageReport& report) {
  Json json = Json::array();
  for (const Finding& finding : findings) {
    json.push_back(FindingJson(finding, IsMended(report, finding.id)));
  }
  return json;
}

Json ChangeJson(const ImageChange& change) {
  Json json;
  json["new"] = change.problems.size() + change.warnings.size();
  json["new_corruptions"] = change.new_corruptions;
  json["new_leaks"] = change.new_leaks;
  json["newly_failed"] = change.newly_failed;
  json["gone"] = Json::array();
  for (const GoneFinding& finding : change.gone) {
    Json gone;
    gone["code"] = finding.code;
    gone["severity"] = finding.severity;
    gone["message"] = finding.message;
    gone["count"] = finding.count;
    json["gone"].push_back(std::move(gone));
  }
  return json;
}

Json StatisticsJson(const CheckReport& report) {
  const checker::Statistics& statistics = report.statistics;
  const checker::AllocationSummary& allocation = report.allocation;
  Json json;
  json["clusters"] = statistics.host_clusters;
  json["guest_clusters"] = allocation.total_clusters;
  json["allocated_clusters"] = allocation.allocated_clusters;
  json["fragmented_clusters"] = allocation.fragmented_clusters;
  json["compressed_clusters"] = allocation.compressed_clusters;
  json["metadata_bytes"] = statistics.metadata_bytes;
  json["l2_tables"] = statistics.l2_tables;
  json["refcount_blocks"] = statistics.refcount_blocks;
  json["passes"] = statistics.passes;
  json["seconds"] = statistics.seconds;
  json["map_memory"] = statistics.map_memory_bytes;
  json["peak_memory"] = statistics.peak_memory_bytes;
  return json;
}

uint64_t Fixed(const ImageReport& report) {
  return Mended(report) ? report.transaction->fixed : 0;
}

Json ReportJson(const ImageReport& report) {
  const CheckReport& found = report.found;
  Json json;
  json["schema_version"] = kSchemaVersion;
  json["tool"] = {{"name", kToolName}, {"version", kToolVersion}};
  json["image"] = ImageJson(Now(report).image);
  json["status"] = NameOf(StatusOf(report));
  json["exit_code"] = ExitCodeOf(report);
  json["cancelled"] = found.cancelled;
  json["counts"] = CountsJson(Now(report).counts, Fixed(report));
  const bool changes = report.change.has_value();
  json["problems"] =
      FindingsJson(changes ? report.change->problems : found.problems, report);
  json["warnings"] =
      FindingsJson(changes ? report.change->warnings : found.warnings, report);
  json["problems_omitted"] = found.problems_omitted;
  if (changes) json["change"] = ChangeJson(*report.change);
  if (!report.known.empty()) json["known"] = Json::parse(report.known);
  if (report.transaction.has_value()) {
    json["transaction"] = TransactionJson(report);
  }
  json["statistics"] = StatisticsJson(found);
  json["errors"] = found.errors;
  return json;
}

}  // namespace

std::string JsonReport(const ImageReport& report, JsonLayout layout) {
  const int indent = layout == JsonLayout::kIndented ? 2 : -1;
  return ReportJson(report).dump(indent, ' ', false,
                                 Json::error_handler_t::replace);
}

}  // namespace qcow2::cli
