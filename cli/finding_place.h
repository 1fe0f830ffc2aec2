// Where damage is, in a form that stays the same from one report to the next:
// what a finding is recognised by.
//
// Pure, no I/O.
#ifndef CLI_FINDING_PLACE_H_
#define CLI_FINDING_PLACE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "checker/finding.h"
#include "cli/json_values.h"

namespace qcow2::cli {

// A finding is a run; that of another report may be a part of it, or longer.
struct FindingPlace {
  std::string kind;    // the problem and the structure it sits in
  uint64_t first = 0;  // of the run: entries or clusters, 0 if it has neither
  uint64_t count = 1;

  friend bool operator==(const FindingPlace&, const FindingPlace&) = default;
};

FindingPlace PlaceOf(const checker::Finding& finding);
// The same of a finding in a JSON report; `json` has the shape of one.
FindingPlace PlaceOf(const Json& json);

// 16 hexadecimal digits that are the same in every report in which the damage
// begins at the same place.
std::string Fingerprint(const FindingPlace& place);

// `text` as it comes back from a JSON report: bytes that are no UTF-8 replaced.
std::string AsInJson(std::string_view text);
// Whether a name that comes from a JSON report is the one that was written to
// it: nothing in it stands for what was replaced.
bool IsWholeInJson(std::string_view text);

}  // namespace qcow2::cli

#endif  // CLI_FINDING_PLACE_H_
