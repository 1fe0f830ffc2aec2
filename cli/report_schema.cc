#include "cli/report_schema.h"

#include <cstddef>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <utility>

#include "checker/finding.h"
#include "checker/problems.h"
#include "checker/report.h"
#include "cli/json_printer.h"
#include "cli/version.h"

namespace qcow2::cli {
namespace {

using checker::CheckStatus;
using checker::ProblemRow;
using checker::RepairClass;
using checker::Severity;
using checker::Structure;
using Json = nlohmann::ordered_json;

enum class Presence { kAlways, kWhenKnown };

struct Property {
  const char* key;
  Json schema;
  Presence presence = Presence::kAlways;
};

Json Described(Json schema, const char* description) {
  schema["description"] = description;
  return schema;
}

// An object with these keys and no others.
Json Object(std::initializer_list<Property> properties) {
  Json json = {{"type", "object"}};
  json["properties"] = Json::object();
  json["required"] = Json::array();
  for (const Property& property : properties) {
    json["properties"][property.key] = property.schema;
    if (property.presence == Presence::kAlways) {
      json["required"].push_back(property.key);
    }
  }
  json["additionalProperties"] = false;
  return json;
}

Json Const(Json value) { return {{"const", std::move(value)}}; }
Json Text() { return {{"type", "string"}}; }
Json Flag() { return {{"type", "boolean"}}; }
Json Reference(const char* name) {
  return {{"$ref", std::string("#/$defs/") + name}};
}
Json ArrayOf(Json items) {
  return {{"type", "array"}, {"items", std::move(items)}};
}
Json Number() { return {{"type", "integer"}, {"minimum", 0}}; }
Json Number(const char* description) {
  return Described(Number(), description);
}

// The names of the enumerators from 0 to `last`.
template <typename Enum>
Json NamesUpTo(Enum last) {
  Json names = Json::array();
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    names.push_back(NameOf(static_cast<Enum>(i)));
  }
  return {{"enum", std::move(names)}};
}

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
      {"fixed", Number("always 0: a check changes nothing")},
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

Json GuestSchema() {
  return Object({
      {"offset", Number("bytes")},
      {"length", Number("bytes")},
      {"snapshot", Described(Text(), "absent: the active disk"),
       Presence::kWhenKnown},
      {"vm_state", Described(Flag(), "saved machine state, no disk content"),
       Presence::kWhenKnown},
  });
}

Json RepairSchema() {
  Json actions = Json::array();
  for (const checker::RepairActionRow& row : checker::AllRepairActions()) {
    actions.push_back(row.code);
  }
  return Object({
      {"action", Json{{"enum", std::move(actions)}}},
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
      {"seconds", Json{{"type", "number"}, {"minimum", 0}}},
      {"map_memory", Number("bytes, peak of the reference map")},
      {"peak_memory", Number("bytes, of the process")},
  });
}

Json ReportObjectSchema() {
  Json exit_code = {{"enum", {0, 4, 8, 12, 32}}};
  return Object({
      {"schema_version", Const(kSchemaVersion)},
      {"tool", Object({{"name", Const(kToolName)}, {"version", Text()}})},
      {"image", Reference("image")},
      {"status", NamesUpTo(CheckStatus::kError)},
      {"exit_code", Described(exit_code, "what this image alone gives")},
      {"cancelled", Flag()},
      {"counts", Reference("counts")},
      {"problems",
       Described(ArrayOf(Reference("finding")), "corruptions and leaks")},
      {"warnings", Described(ArrayOf(Reference("finding")),
                             "what needs no action, or none at once")},
      {"problems_omitted", Number("findings beyond --max-problems")},
      {"statistics", Reference("statistics")},
      {"errors", Described(ArrayOf(Text()), "what could not be read or done")},
  });
}

}  // namespace

std::string ReportSchema() {
  Json schema;
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "Report of qcow2-fsck";
  schema["description"] =
      "Made from the problem table; what the keys mean is in json.md.";
  schema["oneOf"] = {Reference("report"), ArrayOf(Reference("report"))};
  schema["$defs"] = {
      {"report", ReportObjectSchema()},  {"image", ImageSchema()},
      {"counts", CountsSchema()},        {"finding", FindingSchema()},
      {"location", LocationSchema()},    {"host", HostSchema()},
      {"guest_range", GuestSchema()},    {"repair", RepairSchema()},
      {"statistics", StatisticsSchema()}};
  return schema.dump(2) + "\n";
}

}  // namespace qcow2::cli
