// Compares a report with what a corpus case expects.
//
// Pure, no I/O.
#ifndef TESTS_CORPUS_EXPECTATION_H_
#define TESTS_CORPUS_EXPECTATION_H_

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "checker/report.h"

namespace qcow2::corpus {

// The codes of all problems and warnings in a report.
std::set<std::string> CodesIn(const checker::CheckReport& report);
// The codes a case expects.
std::set<std::string> CodesExpected(const nlohmann::json& expectation);

// A finding in the shape of the JSON report, as far as cases speak of it.
nlohmann::json AsJson(const checker::Finding& finding);

// Whether `actual` has all that `expected` asks for: the keys of an object, the
// objects of a list in any order; anything else is to be equal.
bool Fulfils(const nlohmann::json& actual, const nlohmann::json& expected);

// What of the expected problems' details the report does not fulfil, in words;
// empty if nothing. A count is that of all findings of the code unless the
// case lists the code several times: then it is that of one finding.
std::string UnfulfilledDetails(const checker::CheckReport& report,
                               const nlohmann::json& expectation);

}  // namespace qcow2::corpus

#endif  // TESTS_CORPUS_EXPECTATION_H_
