// What the command lines of all programs here have in common: the layout of
// --help, and options whose value is judged by the program.
//
// Knows the option parser; no I/O.
#ifndef CLI_OPTION_PARSER_H_
#define CLI_OPTION_PARSER_H_

#include <functional>
#include <string>
#include <vector>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"

namespace qcow2::cli {

// Lays --help out in two columns that fit a terminal.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App* app, std::string name) const override;
  // Positional arguments are in the usage line.
  std::string make_positionals(const CLI::App* app) const override;
  std::string make_option(const CLI::Option* option, bool) const override;
  std::string make_subcommand(const CLI::App* command) const override;
};

// A parser of options and any number of names, which are taken letter by
// letter: what the library has for lists makes two names of "[a,b]".
class NamesParser : public CLI::App {
 public:
  using CLI::App::App;

  // Lets parse() put the first name to `names`, and keep the others.
  static void AddNames(CLI::App& app, const std::string& what,
                       const std::string& help,
                       std::vector<std::string>& names);

  // Parses; the names are complete then. `reversed` is as the library wants the
  // arguments. Throws what parse() throws.
  void ParseWithNames(std::vector<std::string> reversed,
                      std::vector<std::string>& names);
};

// Parses a value; returns what is wrong with it, or nothing.
using TakeValue = std::function<std::string(const std::string& value)>;

// Adds the option `name` ("--jobs", "-f,--format"), whose value `take` parses.
// --help calls the value `value_name`.
CLI::Option* AddValue(CLI::App& app, const std::string& name,
                      const std::string& value_name, const std::string& help,
                      TakeValue take);

// The parser would take the next argument for the value of "--report=", that
// is, an image for the file to write to. Returns the name of such an option.
std::string OptionWithoutValue(const std::vector<std::string>& arguments);

}  // namespace qcow2::cli

#endif  // CLI_OPTION_PARSER_H_
