// The subcommands and options of a program as data, from its parser: for what
// is made of them besides --help.
//
// Hides the option parser; no I/O.
#ifndef CLI_COMMAND_TABLE_H_
#define CLI_COMMAND_TABLE_H_

#include <string>
#include <vector>

namespace CLI {  // NOLINT(readability-identifier-naming)
class App;
}

namespace qcow2::cli {

struct OptionRow {
  std::vector<std::string> names;  // with dashes: "-f", "--format"
  std::string value;               // as --help calls it; empty: takes none
  bool value_can_be_left_out = false;
  bool repeatable = false;
  std::string help;
};

struct CommandRow {
  std::string name;
  std::string help;
  bool takes_files = false;  // as arguments that are no options
  std::vector<OptionRow> options;
  std::vector<CommandRow> commands;
};

// The command of `app` with everything below it.
CommandRow DescribeCommand(const CLI::App& app);

}  // namespace qcow2::cli

#endif  // CLI_COMMAND_TABLE_H_
