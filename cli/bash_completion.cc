#include <cstddef>
#include <map>

#include "cli/completion_words.h"
#include "cli/completions.h"

namespace qcow2::cli {
namespace {

constexpr char kFindCommand[] = R"(  # The subcommand, as far as it is there.
  local command='' i
  for ((i = 1; i < cword; i++)); do
    case "$command/${words[i]}" in
)";

constexpr char kCompleteValue[] = R"(        command+="/${words[i]}" ;;
      *) break ;;
    esac
  done
  # The value of an option.
  case "$command $prev" in
)";

constexpr char kCompleteOption[] = R"(  esac
  if [[ "$split" == true ]]; then return; fi
  if [[ "$cur" == -* ]]; then
    case "$command" in
)";

constexpr char kCompleteCommand[] = R"(    esac
    if [[ "${COMPREPLY[0]-}" == *= ]]; then compopt -o nospace; fi
    return
  fi
  case "$command" in
)";

std::string PathOf(const CommandPath& path) {
  std::string text;
  for (const std::string& name : path.names) text += "/" + name;
  return text;
}

std::string Offer(const std::string& words) {
  return "mapfile -t COMPREPLY < <(compgen -W '" + words + "' -- \"$cur\")";
}

// What completes the value of an option: options that agree share a line.
std::string ActionOf(const OptionRow& option) {
  const std::vector<std::string> words = WordsOf(option);
  std::string action = !words.empty()      ? Offer(Joined(words, " ")) + "; "
                       : TakesFile(option) ? "_filedir; "
                                           : "";
  action += "return";
  // Without "=" behind it the next word is none of its own.
  if (option.value_can_be_left_out) {
    return "if [[ \"$split\" == true ]]; then " + action + "; fi";
  }
  return action;
}

std::string Values(const std::vector<CommandPath>& commands) {
  std::map<std::string, std::vector<std::string>> patterns_of;
  for (const CommandPath& path : commands) {
    for (const OptionRow& option : path.command->options) {
      if (option.value.empty()) continue;
      for (const std::string& name : option.names) {
        patterns_of[ActionOf(option)].push_back("'" + PathOf(path) + " " +
                                                name + "'");
      }
    }
  }
  std::string text;
  for (const auto& [action, patterns] : patterns_of) {
    text += "    " + Joined(patterns, " | \\\n      ") + ")\n      " + action +
            " ;;\n";
  }
  return text;
}

std::string Options(const std::vector<CommandPath>& commands) {
  std::string text;
  for (const CommandPath& path : commands) {
    std::vector<std::string> names;
    for (const OptionRow& option : path.command->options) {
      for (const std::string& name : option.names) {
        const bool value = !option.value.empty() &&
                           !option.value_can_be_left_out &&
                           name.starts_with("--");
        names.push_back(name + (value ? "=" : ""));
      }
    }
    text += "      '" + PathOf(path) + "')\n        " +
            Offer(Joined(names, " ")) + " ;;\n";
  }
  return text;
}

std::string SubcommandPatterns(const std::vector<CommandPath>& commands) {
  std::vector<std::string> patterns;
  for (const CommandPath& path : commands) {
    if (!path.names.empty()) patterns.push_back(PathOf(path));
  }
  return "      " + Joined(patterns, " | \\\n        ") + ")\n";
}

std::string Arguments(const std::vector<CommandPath>& commands) {
  std::string text;
  for (const CommandPath& path : commands) {
    if (path.command->commands.empty()) continue;
    std::vector<std::string> names;
    for (const CommandRow& command : path.command->commands) {
      names.push_back(command.name);
    }
    const std::string words = Joined(names, " ");
    text += "    '" + PathOf(path) + "')\n      ";
    // Where there can be files as well, only the first word is a command.
    text += path.command->takes_files
                ? "_filedir\n      if ((cword == 1)) && [[ -n \"$cur\" ]]; "
                  "then\n        mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY "
                  "< <(\n          compgen -W '" +
                      words + "' -- \"$cur\")\n      fi ;;\n"
                : Offer(words) + " ;;\n";
  }
  return text + "    *) _filedir ;;\n";
}

}  // namespace

std::string BashCompletion(const CommandRow& program) {
  const std::vector<CommandPath> commands = AllCommands(program);
  const std::string function = "_" + FunctionName(program.name);
  std::string text = "# shellcheck shell=bash\n# Completions of bash for " +
                     program.name + ".\n" + kCompletionsMadeBy;
  text += function + "() {\n  local cur prev words cword split\n" +
          "  _init_completion -s || return\n";
  text += kFindCommand + SubcommandPatterns(commands);
  text += kCompleteValue + Values(commands);
  text += kCompleteOption + Options(commands);
  text += kCompleteCommand + Arguments(commands) + "  esac\n} &&\n";
  return text + "  complete -F " + function + " " + program.name + "\n";
}

}  // namespace qcow2::cli
