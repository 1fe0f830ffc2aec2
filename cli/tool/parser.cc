#include "cli/tool/parser.h"

#include <string>

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

class RootFormatter : public cli::HelpFormatter {
 public:
  std::string make_usage(const CLI::App* app, std::string name) const override {
    return HelpFormatter::make_usage(app, name + " SUBCOMMAND ...");
  }
};

}  // namespace

std::unique_ptr<CLI::App> MakeParser(Action& chosen) {
  auto app = std::make_unique<CLI::App>(kDescription);
  app->name(std::string(kProgramName));
  app->set_help_flag("-h,--help", "Print this help and exit");
  app->set_version_flag(
      "--version",
      std::string(kProgramName) + " " + std::string(cli::kToolVersion),
      "Print the version and exit");
  app->formatter(std::make_shared<RootFormatter>());
  app->footer(kFooter);
  app->require_subcommand(1);
  AddAllCommands(*app, chosen);
  return app;
}

}  // namespace qcow2::tool
