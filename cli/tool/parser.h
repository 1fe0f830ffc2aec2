// The option parser with all subcommands.
#ifndef CLI_TOOL_PARSER_H_
#define CLI_TOOL_PARSER_H_

#include <memory>

#include "cli/option_parser.h"
#include "cli/tool/command.h"

namespace qcow2::tool {

// A parse makes `chosen`, which must outlive the parser, what to do.
std::unique_ptr<CLI::App> MakeParser(Action& chosen);

}  // namespace qcow2::tool

#endif  // CLI_TOOL_PARSER_H_
