// What the user asked for, parsed from the command line and validated.
//
// Pure apart from the text it returns for printing; the only file that knows
// the option parser is options.cc.
#ifndef CLI_OPTIONS_H_
#define CLI_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checker/check.h"
#include "checker/overlap_classes.h"

namespace qcow2::cli {

enum class OutputFormat { kHuman, kJson, kNdjson };
enum class ProgressMode { kAuto, kOn, kOff };

// Every field is as given or at its default; see --help for their meaning.
struct Options {
  std::vector<std::string> images;
  checker::OverlapClasses overlap = checker::OverlapClasses::All();
  bool deep = false;
  OutputFormat output = OutputFormat::kHuman;
  std::string report_file;   // empty: none
  std::string metrics_file;  // empty: none
  uint64_t max_problems = 1000;
  std::string explain;  // a code, a number or "list"; empty: check images
  ProgressMode progress = ProgressMode::kAuto;
  unsigned jobs = 0;
  uint64_t memory_limit_bytes = checker::kDefaultMemoryLimitBytes;
  bool force_share = false;

  // --compat=qemu-img: behave as `qemu-img check` does.
  bool qemu_compatible = false;
  bool quiet = false;
  std::string format;  // of -f; empty: found out from the file
};

// Either options to carry out, or text to print and the code to exit with.
struct CommandLine {
  std::optional<Options> options;
  std::string standard_output;
  std::string standard_error;
  int exit_code = 0;
};

// Parses the arguments behind the program's name.
CommandLine ParseCommandLine(const std::vector<std::string>& arguments);

// The names of all long options in --help, without dashes, for the test that
// the manual page has them all.
std::vector<std::string> OptionNames();

}  // namespace qcow2::cli

#endif  // CLI_OPTIONS_H_
