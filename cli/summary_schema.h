// The part of the report's JSON Schema that is about the summary of a run over
// many images.
//
// Pure, no I/O.
#ifndef CLI_SUMMARY_SCHEMA_H_
#define CLI_SUMMARY_SCHEMA_H_

#include "cli/json_values.h"

namespace qcow2::cli::schema {

Json SummarySchema();

}  // namespace qcow2::cli::schema

#endif  // CLI_SUMMARY_SCHEMA_H_
