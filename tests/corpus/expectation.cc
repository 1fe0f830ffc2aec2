#include "tests/corpus/expectation.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

namespace qcow2::corpus {
namespace {

using checker::CheckReport;
using checker::Finding;
using nlohmann::json;

std::vector<const Finding*> AllFindings(const CheckReport& report) {
  std::vector<const Finding*> all;
  for (const Finding& finding : report.problems) all.push_back(&finding);
  for (const Finding& finding : report.warnings) all.push_back(&finding);
  return all;
}

json LocationJson(const checker::Location& location) {
  json value = {{"structure", NameOf(location.structure)},
                {"field", location.field},
                {"snapshot", location.snapshot}};
  if (location.table_offset) value["table_offset"] = *location.table_offset;
  if (location.index) value["index"] = *location.index;
  return value;
}

json GuestJson(const std::vector<checker::GuestRange>& ranges) {
  json list = json::array();
  for (const checker::GuestRange& range : ranges) {
    list.push_back({{"offset", range.offset_bytes},
                    {"length", range.length_bytes},
                    {"snapshot", range.snapshot}});
  }
  return list;
}

// Whether one finding, or all of its code together, fulfil a listed problem.
bool IsFulfilled(const std::vector<json>& findings, json wanted, bool alone) {
  uint64_t total = 0;
  for (const json& finding : findings)
    total += finding["count"].get<uint64_t>();
  if (alone && wanted.contains("count")) {
    if (total != wanted["count"].get<uint64_t>()) return false;
    wanted.erase("count");
  }
  return std::any_of(
      findings.begin(), findings.end(),
      [&](const json& finding) { return Fulfils(finding, wanted); });
}

}  // namespace

std::set<std::string> CodesIn(const CheckReport& report) {
  std::set<std::string> codes;
  for (const Finding* finding : AllFindings(report)) {
    codes.emplace(checker::RowOf(finding->problem).code);
  }
  return codes;
}

std::set<std::string> CodesExpected(const json& expectation) {
  std::set<std::string> codes;
  for (const json& problem : expectation["problems"]) {
    codes.insert(problem["code"].get<std::string>());
  }
  return codes;
}

json AsJson(const Finding& finding) {
  json value = {{"code", checker::RowOf(finding.problem).code},
                {"count", finding.count},
                {"location", LocationJson(finding.location)},
                {"guest", GuestJson(finding.guest)},
                {"owners", checker::OwnerNames(finding.owners)},
                {"suspect_orphan", finding.suspect_orphan},
                {"detail", finding.detail}};
  if (finding.host) {
    value["host"] = {{"first_cluster", finding.host->first_cluster},
                     {"clusters", finding.host->clusters},
                     {"offset", finding.host->offset_bytes}};
  }
  if (finding.expected) value["expected"] = *finding.expected;
  if (finding.actual) value["actual"] = *finding.actual;
  return value;
}

bool Fulfils(const json& actual, const json& expected) {
  if (expected.is_object()) {
    return actual.is_object() &&
           std::all_of(expected.items().begin(), expected.items().end(),
                       [&](const auto& item) {
                         return actual.contains(item.key()) &&
                                Fulfils(actual[item.key()], item.value());
                       });
  }
  if (expected.is_array() && !expected.empty() && expected[0].is_object()) {
    return std::all_of(
        expected.begin(), expected.end(), [&](const json& wanted) {
          return std::any_of(
              actual.begin(), actual.end(),
              [&](const json& one) { return Fulfils(one, wanted); });
        });
  }
  return actual == expected;
}

std::string UnfulfilledDetails(const CheckReport& report,
                               const json& expectation) {
  std::map<std::string, std::vector<json>> by_code;
  for (const Finding* finding : AllFindings(report)) {
    json value = AsJson(*finding);
    by_code[value["code"].get<std::string>()].push_back(std::move(value));
  }
  std::map<std::string, int> listed;
  for (const json& wanted : expectation["problems"]) {
    ++listed[wanted["code"].get<std::string>()];
  }
  std::string text;
  for (const json& wanted : expectation["problems"]) {
    const std::string code = wanted["code"].get<std::string>();
    if (IsFulfilled(by_code[code], wanted, listed[code] == 1)) continue;
    text += "expected " + wanted.dump() + "\n  found " +
            json(by_code[code]).dump() + "\n";
  }
  return text;
}

}  // namespace qcow2::corpus
