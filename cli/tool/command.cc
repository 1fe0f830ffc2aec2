#include "cli/tool/command.h"

#include <charconv>
#include <memory>
#include <utility>

#include "absl/strings/cord.h"
#include "cli/option_parser.h"
#include "cli/units.h"
#include "cli/word_wrap.h"

namespace qcow2::tool {
namespace {

constexpr char kUsagePayload[] = "qcow2-tool/usage";

// Puts the arguments of one subcommand into its usage line.
class CommandFormatter : public cli::HelpFormatter {
 public:
  explicit CommandFormatter(std::string arguments)
      : arguments_(std::move(arguments)) {}
  std::string make_usage(const CLI::App* app, std::string name) const override {
    return HelpFormatter::make_usage(app, name + " " + arguments_);
  }

 private:
  const std::string arguments_;
};

std::string WrongBytes(const std::string& value) {
  return "'" + value +
         "' is not a number of bytes (a suffix K, M, G or T is possible, and "
         "hexadecimal with 0x)";
}

}  // namespace

CLI::App* AddCommand(CLI::App& parent, const CommandText& text, Action& chosen,
                     Action run) {
  CLI::App* const command = AddCommandGroup(parent, text);
  command->require_subcommand(0);
  command->callback([&chosen, run = std::move(run)] { chosen = run; });
  return command;
}

CLI::App* AddCommandGroup(CLI::App& parent, const CommandText& text) {
  std::string description = text.summary;
  if (!text.description.empty()) {
    description += "\n\n" + cli::Wrap(text.description, 0, 0);
    description.pop_back();
  }
  CLI::App* const command = parent.add_subcommand(text.name, description);
  command->formatter(std::make_shared<CommandFormatter>(text.arguments));
  if (!text.examples.empty()) command->footer("Examples:\n" + text.examples);
  command->require_subcommand(1);
  return command;
}

void AddOption(CLI::App& command, const std::string& name,
               const std::string& value_name, const std::string& help,
               TakeOption take) {
  cli::AddValue(command, name, value_name, help, std::move(take));
}

void AddFlag(CLI::App& command, const std::string& name,
             const std::string& help, bool& target) {
  command.add_flag(name, target, help);
}

void AddBytes(CLI::App& command, const std::string& name,
              const std::string& help, std::optional<uint64_t>& target) {
  AddOption(command, name, "BYTES", help,
            [&target](const std::string& value) -> std::string {
              target = ParseBytes(value);
              return target ? std::string() : WrongBytes(value);
            });
}

void AddNumber(CLI::App& command, const std::string& name,
               const std::string& help, std::optional<uint64_t>& target) {
  AddOption(command, name, "N", help,
            [&target](const std::string& value) -> std::string {
              target = cli::ParseNumber(value);
              return target ? std::string() : "'" + value + "' is no number";
            });
}

void AddText(CLI::App& command, const std::string& name,
             const std::string& value_name, const std::string& help,
             std::string& target) {
  AddOption(command, name, value_name, help,
            [&target](const std::string& value) -> std::string {
              if (value.empty()) return "the value is empty";
              target = value;
              return {};
            });
}

void AddOutputFormat(CLI::App& command, bool& json) {
  AddOption(command, "--output", "FORMAT", "human (default) or json",
            [&json](const std::string& value) -> std::string {
              json = value == "json";
              if (json || value == "human") return {};
              return "'" + value + "' is neither human nor json";
            });
}

void AddArgument(CLI::App& command, const std::string& name,
                 std::string& target) {
  command.add_option(name, target)->required()->type_name("");
}

void AddOptionalArgument(CLI::App& command, const std::string& name,
                         std::string& target) {
  command.add_option(name, target)->type_name("");
}

std::optional<uint64_t> ParseBytes(const std::string& text) {
  if (!text.starts_with("0x") && !text.starts_with("0X")) {
    return cli::ParseSize(text);
  }
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + 2, end, value, 16);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

absl::Status UsageError(const std::string& what) {
  absl::Status status = absl::InvalidArgumentError(what);
  status.SetPayload(kUsagePayload, absl::Cord());
  return status;
}

bool IsUsageError(const absl::Status& status) {
  return status.GetPayload(kUsagePayload).has_value();
}

}  // namespace qcow2::tool
