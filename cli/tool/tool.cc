#include "cli/tool/tool.h"

#include <memory>
#include <utility>

#include "cli/option_parser.h"
#include "cli/output_file.h"
#include "cli/tool/command.h"
#include "cli/tool/commands.h"
#include "cli/version.h"

namespace qcow2::tool {
namespace {

constexpr char kDescription[] =
    "Makes, shows, reads, writes and changes qcow2 disk images.";

constexpr char kFooter[] = R"(
'qcow2-tool SUBCOMMAND --help' describes a subcommand.
Exit codes: 0 done, 1 failed, 2 wrong usage; of compare: 0 same, 1 different,
2 failed.
)";

// The parser with all subcommands. `chosen` must outlive it.
std::unique_ptr<CLI::App> MakeParser(Action& chosen) {
  auto app = std::make_unique<CLI::App>(kDescription);
  app->name(std::string(kProgramName));
  app->set_help_flag("-h,--help", "Print this help and exit");
  app->set_version_flag(
      "--version",
      std::string(kProgramName) + " " + std::string(cli::kToolVersion),
      "Print the version and exit");
  app->formatter(std::make_shared<cli::HelpFormatter>());
  app->footer(kFooter);
  app->require_subcommand(1);
  AddAllCommands(*app, chosen);
  return app;
}

int Print(const Console& console, const std::string& text) {
  const absl::Status status =
      cli::WriteAll(console.standard_output, text, "standard output");
  if (status.ok()) return kExitDone;
  Complain(console, status);
  return kExitFailed;
}

int RefuseUsage(const Console& console, const std::string& what) {
  Complain(console, what);
  cli::WriteAll(
      console.standard_error,
      "Try '" + std::string(kProgramName) + " --help' for more information.\n",
      "standard error")
      .IgnoreError();
  return kExitUsage;
}

void CollectOptions(const CLI::App& app, const std::string& prefix,
                    std::vector<CommandOptions>& all) {
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    const std::string name = prefix + command->get_name();
    const std::vector<const CLI::App*> inner =
        command->get_subcommands([](const CLI::App*) { return true; });
    if (!inner.empty()) {
      CollectOptions(*command, name + " ", all);
      continue;
    }
    CommandOptions& options = all.emplace_back();
    options.name = name;
    for (const CLI::Option* option : command->get_options()) {
      const std::vector<std::string>& longs = option->get_lnames();
      options.options.insert(options.options.end(), longs.begin(), longs.end());
    }
  }
}

}  // namespace

int RunTool(const std::vector<std::string>& arguments, const Console& console) {
  Action chosen;
  const std::unique_ptr<CLI::App> app = MakeParser(chosen);
  const std::string without = cli::OptionWithoutValue(arguments);
  if (!without.empty()) {
    return RefuseUsage(console, without + ": a value is needed behind the '='");
  }
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app->parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    return Print(console, app->help());
  } catch (const CLI::CallForVersion& version) {
    return Print(console, std::string(version.what()) + "\n");
  } catch (const CLI::ParseError& error) {
    return RefuseUsage(console, error.what());
  }
  const absl::StatusOr<int> code = chosen(console);
  if (code.ok()) return *code;
  if (IsUsageError(code.status())) {
    return RefuseUsage(console, std::string(code.status().message()));
  }
  Complain(console, code.status());
  return kExitFailed;
}

std::vector<CommandOptions> AllCommands() {
  Action chosen;
  const std::unique_ptr<CLI::App> app = MakeParser(chosen);
  std::vector<CommandOptions> all;
  CollectOptions(*app, "", all);
  return all;
}

}  // namespace qcow2::tool
