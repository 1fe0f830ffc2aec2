// The report as JSON. The shape is docs/report.schema.json; docs/json.md says
// what each key means.
//
// Pure, no I/O. Bytes of names that are no UTF-8 become U+FFFD.
#ifndef CLI_JSON_PRINTER_H_
#define CLI_JSON_PRINTER_H_

#include <string>

#include "cli/image_report.h"

namespace qcow2::cli {

inline constexpr int kSchemaVersion = 1;

enum class JsonLayout { kIndented, kOneLine };

// The report of one image as one JSON object, without a newline at its end.
std::string JsonReport(const ImageReport& report, JsonLayout layout);

}  // namespace qcow2::cli

#endif  // CLI_JSON_PRINTER_H_
