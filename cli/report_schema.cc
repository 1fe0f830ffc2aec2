#include "cli/report_schema.h"

#include <utility>

#include "checker/finding.h"
#include "checker/problems.h"
#include "checker/report.h"
#include "cli/image_report.h"
#include "cli/json_printer.h"
#include "cli/schema_parts.h"
#include "cli/summary_schema.h"
#include "cli/transaction_schema.h"
#include "cli/version.h"

namespace qcow2::cli::schema {
namespace {

using checker::ProblemRow;
using checker::RepairClass;
using checker::Severity;
using checker::Structure;

Json OwnersSchema() {
  return Described(
      ArrayOf(
          {{"enum", checker::OwnerNames((1u << checker::kOwnerCount) - 1)}}),
      "what the host clusters are used as");
}

Json ImageSchema() {
  Json format = {{"enum", {"qcow2", nullptr}}};
  const auto known = Presence::kWhenKnown;
  return Object({
      {"path", Described(Text(), "as given on the command line")},
      {"format", Described(format, "null: no qcow2 header could be decoded")},
      {"version", Number("2 or 3"), known},
      {"virtual_size", Number("bytes of the guest's disk"), known},
      {"cluster_size", Number("bytes"), known},
      {"refcount_bits", Number("width of a refcount"), known},
      {"file_size", Number("bytes")},
      {"image_end_offset",
       Number("first byte behind the last cluster in use or counted"), known},
      {"snapshots", Number("internal snapshots"), known},
      {"bitmaps", Number("persistent bitmaps"), known},
      {"features", Described(ArrayOf(Text()), "feature bits that are set"),
       known},
      {"backing_file", Text(), known},
      {"data_file", Text(), known},
      {"encryption", Json{{"enum", {"aes", "luks"}}}, known},
      {"compression_type", Text(), known},
  });
}

Json CountsSchema() {
  return Object({
      {"corruptions", Number("corrupt entries or clusters")},
      {"leaks", Number("leaked clusters")},
      {"warnings", Number()},
      {"notes", Number("findings of severity info")},
      {"suspect_orphans",
       Number("leaked clusters that may be what is left of guest data")},
      {"fixed", Number("problems mended by this run")},
      {"unreadable_bytes", Number("metadata that could not be read")},
  });
}

Json LocationSchema() {
  const auto known = Presence::kWhenKnown;
  return Object({
      {"structure", NamesUpTo(Structure::kBackingFile)},
      {"table_offset", Number("host offset of the table, bytes"), known},
      {"index", Number("of the (first) entry in the table"), known},
      {"field", Text(), known},
      {"snapshot", Described(Text(), "name or ID"), known},
  });
}

Json HostSchema() {
  return Object({
      {"first_cluster", Number("offset / cluster size")},
      {"clusters", Number()},
      {"offset", Number("bytes")},
  });
}

Json RepairSchema() {
  return Object({
      {"action", RepairActionSchema()},
      {"class", NamesUpTo(RepairClass::kNone)},
      {"applied", Flag()},
  });
}

// What the problem table fixes for each code.
Json RowSchema(const ProblemRow& row) {
  Json repair = {{"properties",
                  {{"action", Const(checker::RowOf(row.action).code)},
                   {"class", Const(NameOf(row.repair_class))}}}};
  return {{"title", row.code},
          {"properties",
           {{"code", Const(row.code)},
            {"number", Const(row.number)},
            {"severity", Const(NameOf(row.severity))},
            {"repair", std::move(repair)}}}};
}

Json FindingSchema() {
  const auto known = Presence::kWhenKnown;
  Json finding = Object({
      {"id", Number("unique in the report")},
      {"code", Text()},
      {"number", Number()},
      {"fingerprint",
       Described(Text(), "the same in every report for the same damage")},
      {"severity", NamesUpTo(Severity::kNote)},
      {"message", Described(Text(), "one line for people; may change")},
      {"count", Number("entries or clusters in the run")},
      {"location", Reference("location")},
      {"host", Reference("host"), known},
      {"guest", ArrayOf(Reference("guest_range"))},
      {"guest_ranges_omitted", Number("beyond those listed"), known},
      {"owners", OwnersSchema()},
      {"expected", Number("for the first of the run"), known},
      {"actual", Number("of the first of the run"), known},
      {"root_cause", Number("id of the finding that explains this one")},
      {"suspect_orphan",
       Described(Flag(), "may be what is left of guest data; do not free"),
       known},
      {"repair", Reference("repair")},
  });
  finding["anyOf"] = Json::array();
  for (const ProblemRow& row : checker::AllProblems()) {
    finding["anyOf"].push_back(RowSchema(row));
  }
  return finding;
}

Json ChangeSchema() {
  Json gone = Object({
      {"code", Text()},
      {"severity", NamesUpTo(Severity::kNote)},
      {"message", Text("of the earlier report")},
      {"count", Number("entries or clusters that are gone")},
  });
  return Object({
      {"new", Number("findings")},
      {"new_corruptions", Number("entries or clusters")},
      {"new_leaks", Number("clusters")},
      {"newly_failed",
       Described(Flag(), "it could not be checked, and before it could")},
      {"gone", ArrayOf(std::move(gone))},
  });
}

Json KnownSchema() {
  Json finding = Object({
      {"code", Text()},
      {"severity", NamesUpTo(Severity::kNote)},
      {"message", Text("of the earlier report")},
      {"count", Number("entries or clusters in the run")},
      {"location", Reference("location")},
      {"host", Reference("host"), Presence::kWhenKnown},
  });
  return Object({
      {"corruptions", Number()},
      {"leaks", Number()},
      {"all_listed", Described(Flag(), "whether the findings are all")},
      {"findings", ArrayOf(std::move(finding))},
  });
}

Json StatisticsSchema() {
  return Object({
      {"clusters", Number("host clusters of the file")},
      {"guest_clusters", Number("clusters of the virtual disk")},
      {"allocated_clusters", Number("of the guest clusters")},
      {"fragmented_clusters", Number("of the guest clusters")},
      {"compressed_clusters", Number("of the guest clusters")},
      {"metadata_bytes", Number("metadata read")},
      {"l2_tables", Number("distinct L2 tables read")},
      {"refcount_blocks", Number("refcount blocks read")},
      {"passes", Number("over the metadata")},
      {"seconds", Seconds()},
      {"map_memory", Number("bytes, peak of the reference map")},
      {"peak_memory", Number("bytes, of the process")},
  });
}

Json ReportObjectSchema() {
  Json exit_code = {{"enum", {0, 1, 4, 5, 8, 9, 12, 13, 32}}};
  return Object({
      {"schema_version", Const(kSchemaVersion)},
      {"tool", Object({{"name", Const(kToolName)}, {"version", Text()}})},
      {"image", Reference("image")},
      {"status", NamesUpTo(ImageStatus::kError)},
      {"exit_code", Described(exit_code, "what this image alone gives")},
      {"cancelled", Flag()},
      {"counts", Reference("counts")},
      {"problems",
       Described(ArrayOf(Reference("finding")), "corruptions and leaks")},
      {"warnings", Described(ArrayOf(Reference("finding")),
                             "what needs no action, or none at once")},
      {"problems_omitted", Number("findings beyond --max-problems")},
      {"change", Described(ChangeSchema(), "since the baseline"),
       Presence::kWhenKnown},
      {"known",
       Described(KnownSchema(), "of the baseline, where there is no verdict"),
       Presence::kWhenKnown},
      {"transaction", Reference("transaction"), Presence::kWhenKnown},
      {"statistics", Reference("statistics")},
      {"errors", Described(ArrayOf(Text()), "what could not be read or done")},
  });
}

// The object that a run over many images ends with.
Json SummaryObjectSchema() {
  return Object({
      {"schema_version", Const(kSchemaVersion)},
      {"tool", Object({{"name", Const(kToolName)}, {"version", Text()}})},
      {"summary", SummarySchema()},
  });
}

Json Document() {
  Json schema;
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "Report of qcow2-fsck";
  schema["description"] =
      "Made from the problem table; what the keys mean is in json.md.";
  Json either = {{"oneOf", {Reference("report"), Reference("summary")}}};
  schema["oneOf"] = {Reference("report"), Reference("summary"),
                     ArrayOf(std::move(either))};
  schema["$defs"] = {{"report", ReportObjectSchema()},
                     {"summary", SummaryObjectSchema()},
                     {"image", ImageSchema()},
                     {"counts", CountsSchema()},
                     {"finding", FindingSchema()},
                     {"location", LocationSchema()},
                     {"host", HostSchema()},
                     {"guest_range", GuestRangeSchema()},
                     {"repair", RepairSchema()},
                     {"statistics", StatisticsSchema()},
                     {"transaction", TransactionSchema()}};
  return schema;
}

}  // namespace
}  // namespace qcow2::cli::schema

namespace qcow2::cli {

std::string ReportSchema() { return schema::Document().dump(2) + "\n"; }

}  // namespace qcow2::cli
