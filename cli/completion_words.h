// What can be completed, for the completions of every shell.
//
// Pure.
#ifndef CLI_COMPLETION_WORDS_H_
#define CLI_COMPLETION_WORDS_H_

#include <string>
#include <vector>

#include "cli/command_table.h"

namespace qcow2::cli {

inline constexpr char kCompletionsMadeBy[] =
    "# Made by: bazel run //cli:generate_completions -- "
    "$PWD/packaging/completions\n";

// Whether the value of an option is the name of a file.
bool TakesFile(const OptionRow& option);

// The values that an option can have, if those are few words.
std::vector<std::string> WordsOf(const OptionRow& option);

// The help of an option or a command in less than a line.
std::string ShortHelp(const std::string& help);

// "qcow2-fsck" as a part of the name of a function: "qcow2_fsck".
std::string FunctionName(const std::string& program);

// `words` with `separator` between them.
std::string Joined(const std::vector<std::string>& words,
                   const std::string& separator);

// A command with the names of those above it but the program's.
struct CommandPath {
  std::vector<std::string> names;
  const CommandRow* command;
};

// All commands of a program, itself (which has no names) first.
std::vector<CommandPath> AllCommands(const CommandRow& program);

}  // namespace qcow2::cli

#endif  // CLI_COMPLETION_WORDS_H_
