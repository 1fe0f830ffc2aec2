// All subcommands. Each function adds one, or a family of them, to the parser;
// what they do is told by --help.
#ifndef CLI_TOOL_COMMANDS_H_
#define CLI_TOOL_COMMANDS_H_

#include "cli/tool/command.h"

namespace qcow2::tool {

void AddCreateCommand(CLI::App& app, Action& chosen);
void AddInfoCommand(CLI::App& app, Action& chosen);
void AddMapCommand(CLI::App& app, Action& chosen);
void AddDumpCommand(CLI::App& app, Action& chosen);
// read, write, zero, discard
void AddIoCommands(CLI::App& app, Action& chosen);
// convert, compare, resize
void AddDiskCommands(CLI::App& app, Action& chosen);
// snapshot create, apply, delete, list
void AddSnapshotCommands(CLI::App& app, Action& chosen);
// key list, add, remove
void AddKeyCommands(CLI::App& app, Action& chosen);
// bitmap list, add, remove, clear, enable, disable, merge
void AddBitmapCommands(CLI::App& app, Action& chosen);
// commit, rebase
void AddChainCommands(CLI::App& app, Action& chosen);
void AddAmendCommand(CLI::App& app, Action& chosen);
// fdisk list, fdisk create
void AddFdiskCommands(CLI::App& app, Action& chosen);
void AddBenchCommand(CLI::App& app, Action& chosen);

// Every one of the above, in the order of --help.
void AddAllCommands(CLI::App& app, Action& chosen);

}  // namespace qcow2::tool

#endif  // CLI_TOOL_COMMANDS_H_
