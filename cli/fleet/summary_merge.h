// The summaries of several runs as one.
//
// Pure, no I/O.
#ifndef CLI_FLEET_SUMMARY_MERGE_H_
#define CLI_FLEET_SUMMARY_MERGE_H_

#include "cli/fleet/summary.h"
#include "cli/json_values.h"

namespace qcow2::cli {

// Adds the "summary" of another report to `summary`: numbers are added, exit
// codes ORed, the time is that of the longest run, and the end the least
// complete one. What is missing or of another type counts as nothing.
void MergeSummary(const Json& json, FleetSummary& summary);

}  // namespace qcow2::cli

#endif  // CLI_FLEET_SUMMARY_MERGE_H_
