#include "cli/json_values.h"

namespace qcow2::cli {
namespace {

// Tells the parser to keep nothing more once a bound is exceeded.
class Bounds {
 public:
  bool exceeded() const { return exceeded_; }

  bool Keep(int depth, Json::parse_event_t event) {
    if (event == Json::parse_event_t::object_start) keys_.push_back(0);
    if (event == Json::parse_event_t::object_end) keys_.pop_back();
    exceeded_ =
        exceeded_ || depth > kMaxJsonDepth ||
        (event == Json::parse_event_t::key && ++keys_.back() > kMaxJsonKeys);
    return !exceeded_;
  }

 private:
  std::vector<int> keys_;  // of each object that is open, the innermost last
  bool exceeded_ = false;
};

}  // namespace

Json ParseJson(std::string_view text) {
  Bounds bounds;
  Json json = Json::parse(
      text,
      [&bounds](int depth, Json::parse_event_t event, Json&) {
        return bounds.Keep(depth, event);
      },
      false);
  return bounds.exceeded() ? Json(Json::value_t::discarded) : json;
}

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

std::string TextAt(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>()
                                                   : "";
}

std::optional<uint64_t> FindNumber(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<uint64_t>();
}

uint64_t NumberAt(const Json& json, const char* key) {
  return FindNumber(json, key).value_or(0);
}

}  // namespace qcow2::cli
