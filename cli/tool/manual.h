// The manual page of qcow2-tool, made from what --help is made from.
//
// Pure, no I/O.
#ifndef CLI_TOOL_MANUAL_H_
#define CLI_TOOL_MANUAL_H_

#include <string>

namespace qcow2::tool {

// The page in mdoc(7).
std::string ManualPage();

}  // namespace qcow2::tool

#endif  // CLI_TOOL_MANUAL_H_
