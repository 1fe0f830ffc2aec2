#include "cli/option_parser.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "cli/word_wrap.h"

namespace qcow2::cli {
namespace {

constexpr size_t kHelpColumn = 26;

// `head` in the left column and `text` in the right one, or below it.
std::string TwoColumns(const std::string& head, const std::string& text) {
  const std::string wrapped = Wrap(text, kHelpColumn, kHelpColumn);
  if (head.size() + 2 > kHelpColumn) return head + "\n" + wrapped;
  return head + wrapped.substr(head.size());
}

}  // namespace

std::string HelpFormatter::make_usage(const CLI::App*, std::string name) const {
  return "\nUsage: " + name + "\n";
}

std::string HelpFormatter::make_positionals(const CLI::App*) const {
  return {};
}

std::string HelpFormatter::make_option(const CLI::Option* option, bool) const {
  std::string names = option->get_name(false, true);
  const size_t comma = names.find(',');
  if (comma != std::string::npos) names.insert(comma + 1, " ");
  const bool is_long = names.find("--") != std::string::npos;
  if (!option->get_type_name().empty()) {
    const bool optional = option->get_type_name().starts_with('[');
    names += (optional ? "" : is_long ? "=" : " ") + option->get_type_name();
  }
  return TwoColumns("  " + names, option->get_description());
}

std::string HelpFormatter::make_subcommand(const CLI::App* command) const {
  std::string text = command->get_description();
  text.resize(std::min(text.find('\n'), text.size()));
  return TwoColumns("  " + command->get_name(), text);
}

CLI::Option* AddValue(CLI::App& app, const std::string& name,
                      const std::string& value_name, const std::string& help,
                      TakeValue take) {
  const std::string plain = name.substr(0, name.find(','));
  return app
      .add_option_function<std::string>(
          name,
          [plain, take = std::move(take)](const std::string& value) {
            const std::string wrong = take(value);
            if (!wrong.empty()) throw CLI::ValidationError(plain, wrong);
          },
          help)
      ->type_name(value_name)
      ->expected(1);
}

void NamesParser::AddNames(CLI::App& app, const std::string& what,
                           const std::string& help,
                           std::vector<std::string>& names) {
  app.allow_extras();
  app.add_option(what, names, help)->type_name("")->allow_extra_args(false);
}

void NamesParser::ParseWithNames(std::vector<std::string> reversed,
                                 std::vector<std::string>& names) {
  using CLI::detail::Classifier;
  parse(std::move(reversed));
  std::vector<std::string> unknown;
  for (const auto& [kind, argument] : missing_) {
    if (kind == Classifier::NONE) names.push_back(argument);
    if (kind == Classifier::LONG || kind == Classifier::SHORT) {
      unknown.push_back(argument);
    }
  }
  if (!unknown.empty()) throw CLI::ExtrasError(get_name(), unknown);
}

std::string OptionWithoutValue(const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    if (argument == "--") break;
    if (argument.starts_with("--") && argument.ends_with('=') &&
        argument.find('=') + 1 == argument.size()) {
      return argument.substr(0, argument.size() - 1);
    }
  }
  return {};
}

}  // namespace qcow2::cli
