#include "cli/completion_words.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <iterator>
#include <string_view>

#include "checker/problems.h"

namespace qcow2::cli {
namespace {

// The words that the value of an option, told by its long name and what --help
// calls the value, can be. An option has those that its own help names.
struct Words {
  std::string_view name;
  std::string_view value;
  std::vector<std::string> words;
};

const std::vector<Words>& AllWords() {
  static const auto* const rows = new std::vector<Words>{
      {"--output", "FORMAT", {"human", "json", "ndjson"}},
      {"--backing", "POLICY", {"follow", "any", "same-dir", "none"}},
      {"--repair", "MODE", {"all", "leaks", "salvage"}},
      {"--overlap-check", "CLASSES", {"none", "constant", "cached", "all"}},
      {"--compat", "PROGRAM", {"qemu-img"}},
      {"--compat", "VERSION", {"0.10", "1.1"}},
      {"--format", "FORMAT", {"qcow2", "raw"}},
      {"--backing-format", "FORMAT", {"qcow2", "raw"}},
      {"--other-format", "FORMAT", {"qcow2", "raw"}},
      {"--target-format", "FORMAT", {"qcow2", "raw"}},
      {"--encrypt", "FORMAT", {"luks", "aes", "off"}},
      {"--cipher", "CIPHER", {"aes-128", "aes-192", "aes-256"}},
      {"--cipher-mode", "MODE", {"xts", "cbc"}},
      {"--compression-type", "TYPE", {"zlib", "zstd"}},
      {"--hash", "HASH", {"sha1", "sha256", "sha512"}},
      {"--ivgen", "NAME", {"plain", "plain64", "essiv"}},
      {"--preallocation", "MODE", {"off", "metadata", "falloc", "full"}},
      {"--what",
       "LIST",
       {"all", "header", "extensions", "l1", "l2", "refcount-table",
        "refcount-blocks", "snapshots", "bitmaps"}},
  };
  return *rows;
}

bool IsWordPart(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' ||
         c == '.';
}

// Whether `text` has `word` with neither letter nor digit beside it.
bool HasWord(std::string_view text, std::string_view word) {
  for (size_t at = text.find(word); at != std::string_view::npos;
       at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || !IsWordPart(text[at - 1])) &&
        (end == text.size() || !IsWordPart(text[end]))) {
      return true;
    }
  }
  return false;
}

std::vector<std::string> ProblemNames() {
  std::vector<std::string> names = {"list"};
  for (const checker::ProblemRow& row : checker::AllProblems()) {
    names.emplace_back(row.code);
  }
  return names;
}

void AddCommands(const CommandPath& path, std::vector<CommandPath>& all) {
  all.push_back(path);
  for (const CommandRow& command : path.command->commands) {
    CommandPath below = {path.names, &command};
    below.names.push_back(command.name);
    AddCommands(below, all);
  }
}

}  // namespace

bool TakesFile(const OptionRow& option) {
  return option.value == "FILE" || option.value == "PATH" ||
         option.value == "REPORT";
}

std::vector<std::string> WordsOf(const OptionRow& option) {
  if (option.value == "on|off") return {"on", "off"};
  if (option.names.back() == "--explain") return ProblemNames();
  for (const Words& row : AllWords()) {
    if (option.names.back() != row.name || option.value != row.value) continue;
    std::vector<std::string> named;
    std::ranges::copy_if(
        row.words, std::back_inserter(named),
        [&](const std::string& word) { return HasWord(option.help, word); });
    return named.empty() ? row.words : named;
  }
  return {};
}

std::string ShortHelp(const std::string& help) {
  size_t end = help.size();
  for (const char* stop : {"; ", ". ", " ("}) {
    end = std::min(end, help.find(stop));
  }
  // "With --repair: ..." says its matter behind the colon.
  if (!help.starts_with("With ")) end = std::min(end, help.find(": "));
  std::string text = help.substr(0, end);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

std::string FunctionName(const std::string& program) {
  std::string name = program;
  std::ranges::replace(name, '-', '_');
  return name;
}

std::string Joined(const std::vector<std::string>& words,
                   const std::string& separator) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += separator;
    text += word;
  }
  return text;
}

std::vector<CommandPath> AllCommands(const CommandRow& program) {
  std::vector<CommandPath> all;
  AddCommands({{}, &program}, all);
  return all;
}

}  // namespace qcow2::cli
