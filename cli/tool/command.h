// Subcommands of qcow2-tool: how one is defined, and the options many share.
//
// Hides the option parser from them; no I/O.
#ifndef CLI_TOOL_COMMAND_H_
#define CLI_TOOL_COMMAND_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "cli/tool/console.h"

namespace CLI {  // NOLINT(readability-identifier-naming)
class App;
}

namespace qcow2::tool {

// What a subcommand does once its options are known. Returns the exit code; an
// error becomes a message and kExitFailed.
using Action = std::function<absl::StatusOr<int>(const Console&)>;

struct CommandText {
  std::string name;
  std::string arguments;    // as in the usage line: "[OPTION]... IMAGE"
  std::string summary;      // one line, also for the list of subcommands
  std::string description;  // a paragraph; may be empty
  std::string examples;     // lines as a shell would have them; may be empty
};

// Adds a subcommand to `parent`. If it is the one on the command line, `chosen`
// becomes `run`.
CLI::App* AddCommand(CLI::App& parent, const CommandText& text, Action& chosen,
                     Action run);
// Adds a subcommand that has subcommands itself.
CLI::App* AddCommandGroup(CLI::App& parent, const CommandText& text);

// Parses a value; returns what is wrong with it, or nothing.
using TakeOption = std::function<std::string(const std::string& value)>;

// Options: `name` is like "--size" or "-c,--count". What their values mean goes
// to the target, which must live as long as the action.
void AddOption(CLI::App& command, const std::string& name,
               const std::string& value_name, const std::string& help,
               TakeOption take);
void AddFlag(CLI::App& command, const std::string& name,
             const std::string& help, bool& target);
void AddBytes(CLI::App& command, const std::string& name,
              const std::string& help, std::optional<uint64_t>& target);
void AddNumber(CLI::App& command, const std::string& name,
               const std::string& help, std::optional<uint64_t>& target);
void AddText(CLI::App& command, const std::string& name,
             const std::string& value_name, const std::string& help,
             std::string& target);
// --output=human|json.
void AddOutputFormat(CLI::App& command, bool& json);

// Positional arguments, in the order in which they are added.
void AddArgument(CLI::App& command, const std::string& name,
                 std::string& target);
void AddOptionalArgument(CLI::App& command, const std::string& name,
                         std::string& target);

// A number of bytes: decimal with an optional suffix K, M, G, T, or 0x and
// hexadecimal digits.
std::optional<uint64_t> ParseBytes(const std::string& text);

// The error of a combination of options that has no meaning; it makes the exit
// code kExitUsage.
absl::Status UsageError(const std::string& what);
bool IsUsageError(const absl::Status& status);

}  // namespace qcow2::tool

#endif  // CLI_TOOL_COMMAND_H_
