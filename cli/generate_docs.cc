// Writes the pages of docs/ that are made from the problem table and from the
// options of qcow2-tool:
//   bazel run //cli:generate_docs -- FOLDER
#include <cstdio>
#include <fstream>
#include <string>

#include "cli/problems_page.h"
#include "cli/report_schema.h"
#include "cli/tool/manual.h"

namespace {

bool WriteFile(const std::string& path, const std::string& text) {
  std::ofstream stream(path);
  stream << text;
  stream.close();
  if (!stream) std::fprintf(stderr, "cannot write %s\n", path.c_str());
  return static_cast<bool>(stream);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("Usage: generate_docs FOLDER\n", stderr);
    return 16;
  }
  const std::string folder = argv[1];
  const bool written =
      WriteFile(folder + "/report.schema.json", qcow2::cli::ReportSchema()) &&
      WriteFile(folder + "/problems.md", qcow2::cli::ProblemsPage()) &&
      WriteFile(folder + "/qcow2-tool.1", qcow2::tool::ManualPage());
  return written ? 0 : 8;
}
