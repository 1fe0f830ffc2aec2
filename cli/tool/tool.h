// qcow2-tool as a whole: its subcommands, from the command line to the exit
// code.
#ifndef CLI_TOOL_TOOL_H_
#define CLI_TOOL_TOOL_H_

#include <string>
#include <vector>

#include "cli/tool/console.h"

namespace qcow2::tool {

// Carries out the arguments behind the program's name. Returns the exit code.
int RunTool(const std::vector<std::string>& arguments, const Console& console);

}  // namespace qcow2::tool

#endif  // CLI_TOOL_TOOL_H_
