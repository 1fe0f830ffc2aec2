// The JSON Schema of the report, made from the problem table and the names the
// report uses.
//
// Pure, no I/O.
#ifndef CLI_REPORT_SCHEMA_H_
#define CLI_REPORT_SCHEMA_H_

#include <string>

namespace qcow2::cli {

// The text of docs/report.schema.json (draft 2020-12). It describes what
// --output=json prints: one report, or an array of them.
std::string ReportSchema();

}  // namespace qcow2::cli

#endif  // CLI_REPORT_SCHEMA_H_
