// Writes the completions of both programs for every shell:
//   bazel run //cli:generate_completions -- FOLDER
#include <cstdio>
#include <fstream>
#include <string>

#include "cli/completions.h"
#include "cli/options.h"
#include "cli/tool/parser.h"

namespace {

using qcow2::cli::CommandRow;

bool WriteFile(const std::string& path, const std::string& text) {
  std::ofstream stream(path);
  stream << text;
  stream.close();
  if (!stream) std::fprintf(stderr, "cannot write %s\n", path.c_str());
  return static_cast<bool>(stream);
}

bool WriteCompletions(const std::string& folder, const CommandRow& program) {
  const std::string path = folder + "/" + program.name;
  return WriteFile(path + ".bash", qcow2::cli::BashCompletion(program)) &&
         WriteFile(path + ".zsh", qcow2::cli::ZshCompletion(program)) &&
         WriteFile(path + ".fish", qcow2::cli::FishCompletion(program));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("Usage: generate_completions FOLDER\n", stderr);
    return 16;
  }
  qcow2::tool::Action chosen;
  const bool written =
      WriteCompletions(argv[1], qcow2::cli::DescribeProgram()) &&
      WriteCompletions(argv[1], qcow2::cli::DescribeCommand(
                                    *qcow2::tool::MakeParser(chosen)));
  return written ? 0 : 8;
}
