// What the JSON printers have in common.
//
// Pure, no I/O.
#ifndef CLI_JSON_VALUES_H_
#define CLI_JSON_VALUES_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checker/finding.h"

namespace qcow2::cli {

// Keys stay in the order in which they are added.
using Json = nlohmann::ordered_json;

void AddUnlessEmpty(const char* key, const std::string& value, Json& object);

Json GuestRangeJson(const checker::GuestRange& range);
Json GuestJson(const std::vector<checker::GuestRange>& ranges);

}  // namespace qcow2::cli

#endif  // CLI_JSON_VALUES_H_
