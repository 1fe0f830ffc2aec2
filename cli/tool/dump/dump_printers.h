// The dump as text and as JSON, written while the image is read.
#ifndef CLI_TOOL_DUMP_DUMP_PRINTERS_H_
#define CLI_TOOL_DUMP_DUMP_PRINTERS_H_

#include <memory>
#include <string>

#include "cli/tool/console.h"
#include "cli/tool/dump/dump_sink.h"
#include "cli/tool/text_output.h"

namespace qcow2::tool {

// For people: a heading for each structure, and a line for each of its fields
// and entries.
std::unique_ptr<DumpSink> MakeTextDump(const Console& console,
                                       TextOutput& output);

// For programs: {"schema_version": 1, "filename", "structures": [{"structure",
// "offset", "length", "fields": [...], "entries": [...], "problems": [...]}]}.
// Complete when the sink is destroyed.
std::unique_ptr<DumpSink> MakeJsonDump(const Console& console,
                                       const std::string& filename,
                                       TextOutput& output);

}  // namespace qcow2::tool

#endif  // CLI_TOOL_DUMP_DUMP_PRINTERS_H_
