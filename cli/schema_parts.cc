#include "cli/schema_parts.h"

#include <string>

#include "checker/problems.h"

namespace qcow2::cli::schema {

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

Json Described(Json schema, const char* description) {
  schema["description"] = description;
  return schema;
}

Json Const(Json value) { return {{"const", std::move(value)}}; }
Json Text() { return {{"type", "string"}}; }
Json Text(const char* description) { return Described(Text(), description); }
Json Flag() { return {{"type", "boolean"}}; }
Json Number() { return {{"type", "integer"}, {"minimum", 0}}; }
Json Number(const char* description) {
  return Described(Number(), description);
}
Json Seconds() { return {{"type", "number"}, {"minimum", 0}}; }
Json ArrayOf(Json items) {
  return {{"type", "array"}, {"items", std::move(items)}};
}
Json Reference(const char* name) {
  return {{"$ref", std::string("#/$defs/") + name}};
}

Json GuestRangeSchema() {
  return Object({
      {"offset", Number("bytes")},
      {"length", Number("bytes")},
      {"snapshot", Text("absent: the active disk"), Presence::kWhenKnown},
      {"vm_state", Described(Flag(), "saved machine state, no disk content"),
       Presence::kWhenKnown},
  });
}

Json RepairActionSchema() {
  Json actions = Json::array();
  for (const checker::RepairActionRow& row : checker::AllRepairActions()) {
    actions.push_back(row.code);
  }
  return {{"enum", std::move(actions)}};
}

}  // namespace qcow2::cli::schema
