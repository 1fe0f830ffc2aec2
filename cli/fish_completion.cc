#include "cli/completion_words.h"
#include "cli/completions.h"

namespace qcow2::cli {
namespace {

std::string Quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

// The function that knows which subcommand the command line has so far.
std::string Condition(const std::string& function) {
  return "# Whether the command line begins with these subcommands.\n"
         "function " +
         function +
         "\n    set -l words (commandline -opc)\n"
         "    set -l depth (math (count $argv) + 1)\n"
         "    test (count $words) -ge $depth\n"
         "    and test \"$words[1..$depth]\" = \"$words[1] $argv\"\n"
         "end\n\n";
}

// When what is offered in a command is offered: not below it, and for the
// commands of one that also takes files as the first word only.
std::string When(const CommandPath& path, const std::string& function) {
  std::string text;
  if (!path.names.empty()) text = function + " " + Joined(path.names, " ");
  for (const CommandRow& below : path.command->commands) {
    text += text.empty() ? "" : "; and ";
    text += "not " + function + " ";
    for (const std::string& name : path.names) text += name + " ";
    text += below.name;
  }
  return text;
}

std::string OptionLine(const OptionRow& option, const std::string& head) {
  std::string line = head;
  for (const std::string& name : option.names) {
    line += name.starts_with("--") ? " -l " + name.substr(2)
                                   : " -s " + name.substr(1);
  }
  const std::vector<std::string> words = WordsOf(option);
  if (!option.value.empty() && !option.value_can_be_left_out) {
    line += TakesFile(option) ? " -r -F" : " -x";
  }
  if (!words.empty()) line += " -a " + Quoted(Joined(words, " "));
  return line + " -d " + Quoted(ShortHelp(option.help)) + "\n";
}

std::string CommandLines(const CommandPath& path, const std::string& program,
                         const std::string& function) {
  const std::string when = When(path, function);
  const std::string head =
      "complete -c " + program + (when.empty() ? "" : " -n " + Quoted(when));
  std::string text;
  for (const OptionRow& option : path.command->options) {
    text += OptionLine(option, head);
  }
  std::string first = "test (count (commandline -opc)) -eq " +
                      std::to_string(path.names.size() + 1);
  if (!when.empty()) first += "; and " + when;
  for (const CommandRow& below : path.command->commands) {
    text += "complete -c " + program + " -n " + Quoted(first) +
            (path.command->takes_files ? "" : " -f") + " -a " + below.name +
            " -d " + Quoted(ShortHelp(below.help)) + "\n";
  }
  return text;
}

}  // namespace

std::string FishCompletion(const CommandRow& program) {
  const std::string function = "__" + FunctionName(program.name) + "_at";
  std::string text = "# Completions of fish for " + program.name + ".\n" +
                     kCompletionsMadeBy + "\n" + Condition(function);
  for (const CommandPath& path : AllCommands(program)) {
    text += CommandLines(path, program.name, function);
  }
  return text;
}

}  // namespace qcow2::cli
