#include "cli/completion_words.h"
#include "cli/completions.h"

namespace qcow2::cli {
namespace {

// `text` inside single quotes, with a backslash before each of `special`.
std::string Escaped(const std::string& text, const std::string& special) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\'') {
      escaped += "'\\''";
      continue;
    }
    if (special.find(c) != std::string::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

// What follows the description of an option that takes a value.
std::string ValueOf(const OptionRow& option) {
  const std::vector<std::string> words = WordsOf(option);
  std::string text = option.value_can_be_left_out ? "::" : ":";
  text += Escaped(option.value, ":\\") + ":";
  if (!words.empty()) return text + "(" + Joined(words, " ") + ")";
  return text + (TakesFile(option) ? "_files" : " ");
}

// One argument of _arguments for each name of an option, which exclude each
// other unless the option may be given more than once.
std::string SpecsOf(const OptionRow& option) {
  std::string text;
  for (const std::string& name : option.names) {
    text += "    '";
    if (option.repeatable) {
      text += "*";
    } else {
      text += "(" + Joined(option.names, " ") + ")";
    }
    text += name;
    if (!option.value.empty()) {
      const bool is_long = name.starts_with("--");
      text += option.value_can_be_left_out ? "=-" : is_long ? "=" : "+";
    }
    text += "[" + Escaped(ShortHelp(option.help), "[]\\") + "]";
    if (!option.value.empty()) text += ValueOf(option);
    text += "' \\\n";
  }
  return text;
}

std::string OptionSpecs(const CommandRow& command) {
  std::string text;
  for (const OptionRow& option : command.options) text += SpecsOf(option);
  return text;
}

std::string FunctionOf(const CommandPath& path, const std::string& program) {
  std::string name = "_" + FunctionName(program);
  for (const std::string& part : path.names) name += "_" + part;
  return name;
}

// An array with the names and the help of the commands below one.
std::string CommandArray(const CommandRow& command) {
  std::string text = "  local -a commands=(\n";
  for (const CommandRow& below : command.commands) {
    text += "    '" + Escaped(below.name, ":\\") + ":" +
            Escaped(ShortHelp(below.help), "\\") + "'\n";
  }
  return text + "  )\n";
}

// Of a command without commands below it.
std::string LeafFunction(const CommandPath& path, const std::string& program) {
  return FunctionOf(path, program) + "() {\n  _arguments -s -S : \\\n" +
         OptionSpecs(*path.command) + "    '*:file:_files'\n}\n\n";
}

// Calls the function of the command that `word` names.
std::string Dispatch(const CommandPath& path, const std::string& program) {
  std::string text;
  for (const CommandRow& below : path.command->commands) {
    CommandPath next = {path.names, &below};
    next.names.push_back(below.name);
    text += "      " + below.name + ") " + FunctionOf(next, program) + " ;;\n";
  }
  return text;
}

// Of a command that does nothing by itself.
std::string GroupFunction(const CommandPath& path, const std::string& program) {
  return FunctionOf(path, program) +
         "() {\n  local curcontext=\"$curcontext\" state line\n"
         "  typeset -A opt_args\n" +
         CommandArray(*path.command) + "  _arguments -C -s -S : \\\n" +
         OptionSpecs(*path.command) +
         "    '1:command:->command' \\\n    '*::argument:->argument'\n"
         "  case $state in\n"
         "    command) _describe command commands ;;\n"
         "    argument) case $words[1] in\n" +
         Dispatch(path, program) + "    esac ;;\n  esac\n}\n\n";
}

// Of a program that takes files, or a command as its first word.
std::string MixedFunction(const CommandPath& path, const std::string& program) {
  const std::string function = FunctionOf(path, program);
  return function + "_first() {\n" + CommandArray(*path.command) +
         "  _describe command commands\n  _files\n}\n\n" + function +
         "() {\n  if ((CURRENT > 2)); then\n    case $words[2] in\n" +
         "      " + path.command->commands.front().name +
         ")\n        shift words\n        ((CURRENT--))\n        " + function +
         "_" + path.command->commands.front().name +
         "\n        return ;;\n    esac\n  fi\n  _arguments -s -S : \\\n" +
         OptionSpecs(*path.command) + "    '1:file:" + function +
         "_first' \\\n    '*:file:_files'\n}\n\n";
}

std::string CommandFunction(const CommandPath& path,
                            const std::string& program) {
  if (path.command->commands.empty()) return LeafFunction(path, program);
  return path.command->takes_files ? MixedFunction(path, program)
                                   : GroupFunction(path, program);
}

}  // namespace

std::string ZshCompletion(const CommandRow& program) {
  std::string text = "#compdef " + program.name + "\n# Completions of zsh.\n" +
                     kCompletionsMadeBy + "\n";
  for (const CommandPath& path : AllCommands(program)) {
    text += CommandFunction(path, program.name);
  }
  return text + "_" + FunctionName(program.name) + " \"$@\"\n";
}

}  // namespace qcow2::cli
