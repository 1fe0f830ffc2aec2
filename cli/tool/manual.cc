#include "cli/tool/manual.h"

#include <cstddef>
#include <memory>
#include <vector>

#include "cli/tool/parser.h"
#include "cli/version.h"

namespace qcow2::tool {
namespace {

constexpr char kHead[] = R"(.\" Made by: bazel run //cli:generate_docs -- docs
.Dd November 21, 2026
.Dt QCOW2-TOOL 1
)";

constexpr char kIntroduction[] = R"(.Sh NAME
.Nm qcow2-tool
.Nd make, show, read, write and change qcow2 disk images
.Sh SYNOPSIS
.Nm
.Ar subcommand
.Op Ar option ...
.Ar image ...
.Sh DESCRIPTION
.Nm
works on qcow2 images, and where that has a meaning on raw ones.
Images are locked as QEMU locks them, so that one in use by a virtual machine is
not written.
What a subcommand changed is on stable storage when it ends without an error;
cut off at any point, it leaves at worst leaked clusters.
.Pp
Numbers of bytes can have a suffix K, M, G or T (powers of 1024) or be
hexadecimal with 0x.
Secrets are never arguments: they come from a file or an environment variable.
.Sh SUBCOMMANDS
)";

constexpr char kTail[] = R"(.Sh EXIT STATUS
.Bl -tag -width Ds -compact
.It 0
Done; for
.Cm compare :
the disks are the same.
.It 1
Failed; for
.Cm compare :
the disks differ.
.It 2
The options are wrong; for
.Cm compare
also: failed.
.El
.Sh SEE ALSO
.Xr qemu-img 1 ,
.Xr qcow2-fsck 8
)";

// `text` so that roff takes it for text.
std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') {
      escaped += "\\e";
      continue;
    }
    const bool line_start = escaped.empty() || escaped.back() == '\n';
    if (line_start && (c == '.' || c == '\'')) escaped += "\\&";
    escaped += c;
  }
  return escaped;
}

// Each sentence on a line of its own, as manual pages have it.
std::string Sentences(std::string text) {
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  for (size_t at = text.find(". "); at != std::string::npos;
       at = text.find(". ", at + 1)) {
    // "1, 2, ... 64" goes on.
    const char next = at + 2 < text.size() ? text[at + 2] : ' ';
    if (next >= 'A' && next <= 'Z') text[at + 1] = '\n';
  }
  return Escaped(text);
}

// "-c,--count" with its value as macros.
std::string OptionItem(const CLI::Option& option) {
  std::string item = ".It";
  const char* divider = "";
  for (const std::string& name : option.get_snames()) {
    item.append(divider).append(" Fl ").append(name);
    divider = " ,";
  }
  for (const std::string& name : option.get_lnames()) {
    item.append(divider).append(" Fl Fl ").append(name);
    divider = " ,";
  }
  if (!option.get_type_name().empty()) {
    item += option.get_lnames().empty() ? " Ar " : " Ns = Ns Ar ";
    item += option.get_type_name();
  }
  return item + "\n";
}

std::string OptionsOf(const CLI::App& command) {
  std::string text;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_positional() || option == command.get_help_ptr()) continue;
    text += OptionItem(*option) + Sentences(option->get_description()) + "\n";
  }
  if (text.empty()) return text;
  return ".Bl -tag -width Ds\n" + text + ".El\n";
}

// The lines behind "Examples:".
std::string ExamplesOf(const CLI::App& command) {
  std::string text;
  std::string footer = command.get_footer();
  footer.erase(0, footer.find('\n') + 1);
  while (!footer.empty()) {
    const size_t end = footer.find('\n');
    const std::string line = footer.substr(0, end);
    text += ".Dl $ " + Escaped(line.substr(line.find_first_not_of(' '))) + "\n";
    footer.erase(0, end == std::string::npos ? end : end + 1);
  }
  return text.empty() ? text : ".Pp\n" + text;
}

// "[OPTION]... IMAGE" from the usage line.
std::string ArgumentsOf(const CLI::App& command) {
  const std::string help = command.help();
  const std::string before = "Usage: " + command.get_name() + " ";
  const size_t first = help.find(before) + before.size();
  return help.substr(first, help.find('\n', first) - first);
}

std::string DescriptionOf(const CLI::App& command) {
  const std::string all = command.get_description();
  const size_t gap = all.find("\n\n");
  std::string text = Sentences(all.substr(0, gap)) + ".\n";
  if (gap != std::string::npos) text += Sentences(all.substr(gap + 2)) + "\n";
  return text;
}

void AppendCommands(const CLI::App& parent, const std::string& prefix,
                    std::string& text) {
  for (const CLI::App* command :
       parent.get_subcommands([](const CLI::App*) { return true; })) {
    const std::string name = prefix + command->get_name();
    if (!command->get_subcommands([](const CLI::App*) { return true; })
             .empty()) {
      AppendCommands(*command, name + " ", text);
      continue;
    }
    text += ".Ss " + name + " " + Escaped(ArgumentsOf(*command)) + "\n" +
            DescriptionOf(*command) + OptionsOf(*command) +
            ExamplesOf(*command);
  }
}

}  // namespace

std::string ManualPage() {
  Action chosen;
  const std::unique_ptr<CLI::App> app = MakeParser(chosen);
  std::string text = kHead;
  text.append(".Os qcow2-tool ").append(cli::kToolVersion).append("\n");
  text += kIntroduction;
  AppendCommands(*app, "", text);
  return text + kTail;
}

}  // namespace qcow2::tool
