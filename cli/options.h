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
#include "cli/command_table.h"
#include "cli/fleet/fleet_options.h"
#include "engine/storage/named_file.h"
#include "repair/plan.h"

namespace qcow2::cli {

enum class OutputFormat { kHuman, kJson, kNdjson };
enum class ProgressMode { kAuto, kOn, kOff };

// What is done with the images.
enum class Task {
  kCheck,    // read only
  kRepair,   // check, plan, prove, and unless it is a dry run commit
  kRecover,  // finish a repair that was cut short
  kUndo,     // take the last repair back
  kDiscard,  // give the space of free clusters back
};

// Every field is as given or at its default; see --help for their meaning.
struct Options {
  std::vector<std::string> images;
  checker::OverlapClasses overlap = checker::OverlapClasses::All();
  bool deep = false;
  // Which backing and data files are looked at.
  NamedFilePolicy named_files = NamedFilePolicy::kFollow;
  OutputFormat output = OutputFormat::kHuman;
  std::string report_file;   // empty: none
  std::string metrics_file;  // empty: none
  std::string html_file;     // empty: none
  std::string map_file;      // empty: none
  uint64_t max_problems = 1000;
  std::string explain;  // a code, a number or "list"; empty: check images
  ProgressMode progress = ProgressMode::kAuto;
  unsigned jobs = 0;
  // Of a check, until the task is known: repairs have a default of their own.
  uint64_t memory_limit_bytes = checker::kDefaultMemoryLimitBytes;
  bool force_share = false;
  bool sandbox = false;
  uint64_t remote_timeout_seconds = 60;
  FleetOptions fleet;  // of a run over many images

  Task task = Task::kCheck;
  repair::Mode repair_mode = repair::Mode::kAll;
  bool dry_run = false;
  bool keep_undo = true;
  bool free_suspects = false;
  std::vector<std::string> drop_snapshots;
  bool moved_image = false;
  std::string journal_file;  // empty: beside the image
  std::string undo_file;     // empty: beside the journal

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

// Whether somebody wants to see who owns what.
inline bool WantsPicture(const Options& options) {
  return !options.html_file.empty() || !options.map_file.empty();
}

// Whether the images are checked as a run over many, several at the same time:
// there is more than one, or an option of such runs was given.
inline bool ChecksMany(const Options& options) {
  return options.task == Task::kCheck &&
         (options.images.size() > 1 || options.fleet.any() ||
          options.fleet.max_rate_bytes != 0);
}

// Whether these options let the program write to an image.
bool MayWrite(const Options& options);

// The names of all long options in --help, without dashes, for the test that
// the manual page has them all.
std::vector<std::string> OptionNames();

// All options, and merge as a subcommand, for the completions of shells.
CommandRow DescribeProgram();

}  // namespace qcow2::cli

#endif  // CLI_OPTIONS_H_
