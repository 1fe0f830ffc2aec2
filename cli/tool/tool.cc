#include "cli/tool/tool.h"

#include <memory>
#include <utility>

#include "cli/option_parser.h"
#include "cli/output_file.h"
#include "cli/tool/command.h"
#include "cli/tool/parser.h"

namespace qcow2::tool {
namespace {

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

// A misspelt subcommand is told apart from a missing one.
std::string Explain(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<std::string> unknown = app.remaining();
  if (!app.get_subcommands().empty() || unknown.empty()) return error.what();
  return "there is no subcommand '" + unknown.front() + "'";
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
    return RefuseUsage(console, Explain(*app, error));
  }
  const absl::StatusOr<int> code = chosen(console);
  if (code.ok()) return *code;
  if (IsUsageError(code.status())) {
    return RefuseUsage(console, std::string(code.status().message()));
  }
  Complain(console, code.status());
  return kExitFailed;
}

}  // namespace qcow2::tool
