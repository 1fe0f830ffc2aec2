#include "cli/json_values.h"

namespace qcow2::cli {

void AddUnlessEmpty(const char* key, const std::string& value, Json& object) {
  if (!value.empty()) object[key] = value;
}

Json GuestRangeJson(const checker::GuestRange& range) {
  Json json;
  json["offset"] = range.offset_bytes;
  json["length"] = range.length_bytes;
  AddUnlessEmpty("snapshot", range.snapshot, json);
  if (range.vm_state) json["vm_state"] = true;
  return json;
}

Json GuestJson(const std::vector<checker::GuestRange>& ranges) {
  Json json = Json::array();
  for (const checker::GuestRange& range : ranges) {
    json.push_back(GuestRangeJson(range));
  }
  return json;
}

}  // namespace qcow2::cli
