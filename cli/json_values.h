// What the printers and readers of JSON have in common.
//
// Pure, no I/O.
#ifndef CLI_JSON_VALUES_H_
#define CLI_JSON_VALUES_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checker/finding.h"

namespace qcow2::cli {

// Keys stay in the order in which they are added.
using Json = nlohmann::ordered_json;

// What is deeper than any report, and has more keys in one object. Whoever
// copies or prints JSON goes as deep as it is nested, and an object is searched
// key by key.
inline constexpr int kMaxJsonDepth = 64;
inline constexpr int kMaxJsonKeys = 1000;

// The value of `text`; discarded if it is no JSON, or goes beyond these bounds.
Json ParseJson(std::string_view text);

void AddUnlessEmpty(const char* key, const std::string& value, Json& object);

Json GuestRangeJson(const checker::GuestRange& range);
Json GuestJson(const std::vector<checker::GuestRange>& ranges);

// The value of a key of JSON that may be of any shape; empty, none or 0 where
// there is no such key, or something else is its value.
std::string TextAt(const Json& json, const char* key);
std::optional<uint64_t> FindNumber(const Json& json, const char* key);
uint64_t NumberAt(const Json& json, const char* key);

}  // namespace qcow2::cli

#endif  // CLI_JSON_VALUES_H_
