#include "cli/command_table.h"

#include "cli/option_parser.h"

namespace qcow2::cli {
namespace {

OptionRow DescribeOption(const CLI::Option& option) {
  OptionRow row;
  for (const std::string& name : option.get_snames()) {
    row.names.push_back("-" + name);
  }
  for (const std::string& name : option.get_lnames()) {
    row.names.push_back("--" + name);
  }
  row.value = option.get_type_name();
  if (row.value.starts_with("[=") && row.value.ends_with(']')) {
    row.value = row.value.substr(2, row.value.size() - 3);
    row.value_can_be_left_out = true;
  }
  row.repeatable =
      option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
  row.help = option.get_description();
  return row;
}

}  // namespace

CommandRow DescribeCommand(const CLI::App& app) {
  CommandRow row;
  // "qcow2-fsck merge [OPTION]... REPORT..." is named by its first word.
  row.name = app.get_name().substr(0, app.get_name().find(' '));
  row.help = app.get_description().substr(0, app.get_description().find('\n'));
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      row.takes_files = true;
    } else {
      row.options.push_back(DescribeOption(*option));
    }
  }
  for (const CLI::App* command :
       app.get_subcommands([](const CLI::App*) { return true; })) {
    row.commands.push_back(DescribeCommand(*command));
  }
  return row;
}

}  // namespace qcow2::cli
