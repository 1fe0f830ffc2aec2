#include "cli/options.h"

#include <algorithm>
#include <ctime>
#include <iterator>
#include <memory>
#include <utility>

#include "cli/exit_code.h"
#include "cli/option_conflicts.h"
#include "cli/option_parser.h"
#include "cli/units.h"
#include "cli/version.h"
#include "repair/repair_options.h"

namespace qcow2::cli {
namespace {

constexpr unsigned kJobsMax = 256;

constexpr std::string_view kCompatOption = "--compat";
constexpr std::string_view kRepairOption = "--repair";
constexpr char kMemoryLimitOption[] = "--memory-limit";

constexpr char kDescription[] =
    "Finds what is wrong with qcow2 disk images, and repairs it when asked to."
    "\nWithout --repair, --recover, --undo or --discard-freed nothing is ever "
    "written\nto an image.\n\nAn IMAGE is a file, a block device or an NBD "
    "address: nbd://HOST[:PORT]/EXPORT,\nnbds:// the same with TLS, "
    "nbd+unix:///EXPORT?socket=PATH. At an address nobody\ncan see who else "
    "uses the image; a repair there needs --journal.";

constexpr char kExamples[] = R"(Examples:
  qcow2-fsck disk.qcow2                    what is wrong, for people
  qcow2-fsck --output=json disk.qcow2      the same for programs
  qcow2-fsck --output=ndjson *.qcow2       one line of JSON an image
  qcow2-fsck --recursive /images           every image in a tree
  qcow2-fsck --deep disk.qcow2             also decode compressed clusters
  qcow2-fsck --force-share disk.qcow2      although a virtual machine runs on it
  qcow2-fsck --explain=refcount-too-low    what a problem means
  qcow2-fsck --repair --dry-run disk.qcow2 what a repair would do
  qcow2-fsck --repair disk.qcow2           repair it, and keep an undo file
  qcow2-fsck --undo disk.qcow2             take that repair back
  qcow2-fsck nbd://host/disk               an image that a server has
  qcow2-fsck --compat=qemu-img -q disk.qcow2
                                           in place of `qemu-img check -q`
)";

constexpr char kCompatExitCodes[] = R"(Exit codes, those of `qemu-img check`:
   0  nothing is wrong
   1  the image could not be checked, or not completely
   2  corruptions were found (with -r: are left)
   3  leaks were found (with -r: are left), nothing worse
  63  the format has no check
)";

std::string ExitCodeHelp() {
  std::string text = "Exit codes (a mask; those of several images are ORed):\n";
  for (const ExitCodeRow& row : AllExitCodes()) {
    std::string code = std::to_string(row.code);
    code.insert(0, code.size() < 4 ? 4 - code.size() : 0, ' ');
    text.append(code).append("  ").append(row.meaning).append("\n");
  }
  return text;
}

std::string TakeFileName(const std::string& value, std::string& target) {
  if (value.empty()) return "the name of a file is needed";
  target = value;
  return {};
}

std::string TakeOverlap(const std::string& value, Options& options) {
  const absl::StatusOr<checker::OverlapClasses> classes =
      checker::OverlapClasses::Parse(value);
  if (!classes.ok()) return std::string(classes.status().message());
  options.overlap = *classes;
  return {};
}

std::string TakeOutput(const std::string& value, Options& options) {
  if (value == "human") {
    options.output = OutputFormat::kHuman;
  } else if (value == "json") {
    options.output = OutputFormat::kJson;
  } else if (value == "ndjson" && !options.qemu_compatible) {
    options.output = OutputFormat::kNdjson;
  } else {
    return options.qemu_compatible
               ? "'" + value + "' is neither human nor json"
               : "'" + value + "' is none of human, json and ndjson";
  }
  return {};
}

std::string TakeMaxProblems(const std::string& value, Options& options) {
  const std::optional<uint64_t> number = ParseNumber(value);
  if (!number) return "'" + value + "' is not a number (0 means no limit)";
  options.max_problems = *number;
  return {};
}

std::string TakeJobs(const std::string& value, Options& options) {
  const std::optional<uint64_t> number = ParseNumber(value);
  if (!number || *number < 1 || *number > kJobsMax) {
    return "'" + value + "' is not a number from 1 to " +
           std::to_string(kJobsMax);
  }
  options.jobs = static_cast<unsigned>(*number);
  return {};
}

std::string TakeRemoteTimeout(const std::string& value, Options& options) {
  constexpr uint64_t kMaxSeconds = 86400;
  const std::optional<uint64_t> seconds = ParseNumber(value);
  if (!seconds || *seconds < 1 || *seconds > kMaxSeconds) {
    return "'" + value + "' is not a number of seconds from 1 to " +
           std::to_string(kMaxSeconds);
  }
  options.remote_timeout_seconds = *seconds;
  return {};
}

std::string TakeMemoryLimit(const std::string& value, Options& options) {
  const std::optional<uint64_t> size = ParseSize(value);
  if (!size || *size == 0) {
    return "'" + value + "' is not a size such as 512K, 64M or 2G";
  }
  options.memory_limit_bytes = *size;
  return {};
}

void AddReportOptions(CLI::App& app, Options& options) {
  AddValue(
      app, "--output", "FORMAT",
      "What to print: human (default), json (one object for an image, an "
      "array for several) or ndjson (one line an image)",
      [&](const std::string& value) { return TakeOutput(value, options); });
  AddValue(
      app, "--report", "FILE",
      "Also write the report to FILE: ndjson if that is printed, else json",
      [&](const std::string& value) {
        return TakeFileName(value, options.report_file);
      });
  AddValue(app, "--metrics", "FILE",
           "Also write metrics to FILE for Prometheus' textfile collector",
           [&](const std::string& value) {
             return TakeFileName(value, options.metrics_file);
           });
  AddValue(app, "--html", "FILE",
           "Also write a page to FILE with the report and a map of the image: "
           "who owns which cluster, and which partition of the guest is hit",
           [&](const std::string& value) {
             return TakeFileName(value, options.html_file);
           });
  AddValue(
      app, "--map", "FILE",
      "Also draw to FILE, as SVG, who owns which cluster and what is damaged",
      [&](const std::string& value) {
        return TakeFileName(value, options.map_file);
      });
  AddValue(app, "--max-problems", "N",
           "List at most N findings an image (default 1000, 0 for all); the "
           "counts are always complete",
           [&](const std::string& value) {
             return TakeMaxProblems(value, options);
           });
  AddValue(app, "--explain", "CODE",
           "Explain a problem by its code or number and exit; 'list' lists all",
           [&](const std::string& value) {
             options.explain = value;
             return value.empty() ? "the code of a problem is needed" : "";
           });
}

std::string TakeBacking(const std::string& value, Options& options) {
  const std::optional<NamedFilePolicy> policy = PolicyFromName(value);
  if (!policy) {
    return "'" + value + "' is none of follow, any, same-dir and none";
  }
  options.named_files = *policy;
  return {};
}

void AddCheckOptions(CLI::App& app, Options& options) {
  AddValue(
      app, "--overlap-check", "CLASSES",
      "Which metadata is watched for overlaps: none, constant, cached or "
      "all (default), then ,+class or ,-class for single classes",
      [&](const std::string& value) { return TakeOverlap(value, options); });
  app.add_flag("--deep", options.deep,
               "Also decode every compressed cluster, verify LUKS header "
               "digests and follow the whole backing chain");
  AddValue(
      app, "--backing", "POLICY",
      "Which files that an image names, backing and data files, are "
      "looked at: follow (default), regular files; any, block devices as "
      "well; same-dir, only those in the image's own folder; none",
      [&](const std::string& value) { return TakeBacking(value, options); });
  AddValue(app, "--jobs", "N",
           "Use N threads, for as many images side by side (default: one a "
           "processor, at most 8)",
           [&](const std::string& value) { return TakeJobs(value, options); });
  AddValue(app, kMemoryLimitOption, "SIZE",
           "Use at most about SIZE bytes (suffix K, M, G or T) for counting "
           "references (default 64M); reads the metadata several times if it "
           "must. A repair needs all references at once (default 1G) and is "
           "refused where they do not fit",
           [&](const std::string& value) {
             return TakeMemoryLimit(value, options);
           });
  app.add_flag("-U,--force-share", options.force_share,
               "Check an image that another program has open; what it writes "
               "meanwhile may show up as problems");
  app.add_flag("--sandbox", options.sandbox,
               "Once the image is open, let the kernel refuse this process all "
               "but reading, memory, threads, the sizes and dates of files and "
               "writing to standard output and error; for one IMAGE that is "
               "not trusted. Files that it "
               "names are not looked at (--backing=none)");
  AddValue(app, "--remote-timeout", "SECONDS",
           "How long the server of an image at an NBD address may give no sign "
           "of life (default 60)",
           [&](const std::string& value) {
             return TakeRemoteTimeout(value, options);
           });
}

std::string TakeRepair(const std::string& value, Options& options) {
  using repair::Mode;
  for (const Mode mode : {Mode::kLeaks, Mode::kAll, Mode::kSalvage}) {
    // qemu-img has no salvage.
    if (options.qemu_compatible && mode == Mode::kSalvage) continue;
    if (value != NameOf(mode)) continue;
    options.task = Task::kRepair;
    options.repair_mode = mode;
    return {};
  }
  return options.qemu_compatible
             ? "'" + value + "' is neither leaks nor all"
             : "'" + value + "' is none of all, leaks and salvage";
}

void TakeSnapshotNames(const std::vector<std::string>& names,
                       Options& options) {
  for (const std::string& name : names) {
    if (name.empty()) {
      throw CLI::ValidationError("--drop-snapshot",
                                 "the name or ID of a snapshot is needed");
    }
  }
  options.drop_snapshots = names;
}

// What may be said more about a repair.
void AddRepairChoices(CLI::App& app, Options& options) {
  app.add_flag(
      "--dry-run", options.dry_run,
      "With --repair: plan and prove, print the plan, write nothing; with "
      "--discard-freed: say what would be given back");
  app.add_flag("--free-suspects", options.free_suspects,
               "With --repair: also free leaked clusters that may be what is "
               "left of guest data, and lower refcounts of clusters that "
               "something damaged may name, too");
  app.add_option_function<std::vector<std::string>>(
         "--drop-snapshot",
         [&](const std::vector<std::string>& names) {
           TakeSnapshotNames(names, options);
         },
         "With --repair=salvage: give up the damaged snapshot with this name "
         "or ID; may be given more than once")
      ->type_name("NAME")
      ->take_all()
      ->allow_extra_args(false);
  AddValue(
      app, "--journal", "PATH",
      "Where the journal is (default IMAGE.fsck-journal, beside the image; "
      "needed for block devices and NBD addresses)",
      [&](const std::string& value) {
        return TakeFileName(value, options.journal_file);
      });
  AddValue(
      app, "--undo-file", "PATH",
      "Where the undo file is (default IMAGE.fsck-undo, beside the image); "
      "in the same folder as the journal",
      [&](const std::string& value) {
        return TakeFileName(value, options.undo_file);
      });
  app.add_flag_callback(
      "--no-undo", [&] { options.keep_undo = false; },
      "With --repair: keep no undo file; the repair cannot be taken back. With "
      "--discard-freed: remove the undo file first");
}

void AddRepairOptions(CLI::App& app, Options& options) {
  AddValue(
      app, std::string(kRepairOption), "[=MODE]",
      "Repair the image: all (default) mends what can be mended without losing "
      "guest data, leaks only frees leaked clusters, salvage also gives up "
      "what "
      "cannot be had, by name",
      [&](const std::string& value) { return TakeRepair(value, options); });
  AddRepairChoices(app, options);
  CLI::Option* const recover = app.add_flag_callback(
      "--recover", [&] { options.task = Task::kRecover; },
      "Finish a repair that was cut short, then check the image");
  CLI::Option* const undo = app.add_flag_callback(
      "--undo", [&] { options.task = Task::kUndo; },
      "Take the last repair back, to the byte, then check the image");
  CLI::Option* const discard = app.add_flag_callback(
      "--discard-freed", [&] { options.task = Task::kDiscard; },
      "Give the space of free clusters back, if the image is clean; what they "
      "hold is gone then");
  app.add_flag("--moved-image", options.moved_image,
               "With --recover or --undo: the image was moved or copied since "
               "the repair; its contents still have to match the journal");
  recover->excludes(undo);
  discard->excludes(recover);
  discard->excludes(undo);
  for (CLI::Option* const option : {recover, undo, discard}) {
    option->excludes(app.get_option(std::string(kRepairOption)));
  }
}

void AddProgressOptions(CLI::App& app, Options& options) {
  CLI::Option* const on = app.add_flag_callback(
      "--progress", [&] { options.progress = ProgressMode::kOn; },
      "Show progress on standard error also if that is no terminal");
  CLI::Option* const off = app.add_flag_callback(
      "--no-progress", [&] { options.progress = ProgressMode::kOff; },
      "Show no progress");
  on->excludes(off);
}

void SetUp(CLI::App& app, const char* arguments) {
  app.name(std::string(kToolName) + arguments);
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.set_version_flag("--version",
                       std::string(kToolName) + " " + std::string(kToolVersion),
                       "Print the version and exit");
  app.formatter(std::make_shared<HelpFormatter>());
}

void DefineOptions(CLI::App& app, Options& options) {
  SetUp(app, " [OPTION]... IMAGE...");
  app.footer(ExitCodeHelp() + "\n" + kExamples);
  NamesParser::AddNames(app, "IMAGE", "The images", options.images);
  AddCheckOptions(app, options);
  AddFleetOptions(app, std::time(nullptr), options.fleet);
  AddRepairOptions(app, options);
  AddReportOptions(app, options);
  AddProgressOptions(app, options);
  AddValue(app, std::string(kCompatOption), "PROGRAM",
           "With 'qemu-img': take the options of `qemu-img check` (-r, -f, -q, "
           "-U, --output), print what it prints and exit as it does",
           [](const std::string& value) {
             return "'" + value + "' is not 'qemu-img'";
           });
}

// What `qcow2-fsck merge` takes.
void DefineMergeOptions(CLI::App& app, Options& options) {
  SetUp(app, " merge [OPTION]... REPORT...");
  app.footer(ExitCodeHelp());
  AddMergeOptions(app, options.images);
  AddValue(
      app, "--output", "FORMAT",
      "What to print: human (default), json (an array) or ndjson",
      [&](const std::string& value) { return TakeOutput(value, options); });
}

// Consumed before the parser runs, since it decides which options there are.
// Returns whether --compat=qemu-img was given, and removes it.
bool TakeCompat(std::vector<std::string>& arguments) {
  for (auto it = arguments.begin(); it != arguments.end() && *it != "--";
       ++it) {
    const auto next = std::next(it);
    if (*it == "--compat=qemu-img") {
      arguments.erase(it);
      return true;
    }
    if (*it == kCompatOption && next != arguments.end() &&
        *next == "qemu-img") {
      arguments.erase(it, std::next(next));
      return true;
    }
  }
  return false;
}

// The mode of --repair can be left out, which the parser takes for the next
// argument being the mode.
void AddRepairMode(std::vector<std::string>& arguments) {
  for (std::string& argument : arguments) {
    if (argument == "--") break;
    if (argument == kRepairOption) argument += "=all";
  }
}

std::string TakeCacheMode(const std::string& value) {
  static constexpr std::string_view kModes[] = {
      "none", "off", "writeback", "writethrough", "directsync", "unsafe"};
  if (std::find(std::begin(kModes), std::end(kModes), value) !=
      std::end(kModes)) {
    return {};
  }
  return "'" + value + "' is not a cache mode";
}

// The options of `qemu-img check`. -T and --object are taken and have no
// effect: a check reads with no cache mode of its own, and needs no secret.
void DefineCompatOptions(CLI::App& app, Options& options) {
  SetUp(app, " --compat=qemu-img [OPTION]... IMAGE");
  app.footer(kCompatExitCodes);
  NamesParser::AddNames(app, "IMAGE", "The image to check", options.images);
  AddValue(app, "-f,--format", "FORMAT", "The image's format",
           [&](const std::string& value) {
             options.format = value;
             return value.empty() ? "the name of a format is needed" : "";
           });
  AddValue(
      app, "--output", "FORMAT", "human (default) or json",
      [&](const std::string& value) { return TakeOutput(value, options); });
  app.add_flag("-q,--quiet", options.quiet, "Print no report");
  app.add_flag("-U,--force-share", options.force_share,
               "Check an image that another program has open");
  app.add_flag_callback(
      "-p", [&] { options.progress = ProgressMode::kOn; },
      "Show progress on standard error");
  AddValue(app, "-T", "CACHE", "Taken for compatibility; has no effect",
           TakeCacheMode);
  AddValue(app, "--object", "OBJECT", "Taken for compatibility; has no effect",
           [](const std::string&) { return std::string(); });
  AddValue(
      app, "-r,--repair", "WHAT",
      "leaks: free leaked clusters; all: repair whatever can be repaired. An "
      "undo file is kept beside the image",
      [&](const std::string& value) { return TakeRepair(value, options); });
  app.add_flag_callback(
      "--image-opts",
      [] {
        throw CLI::ValidationError(
            "--image-opts", "not supported; give the name of a local file");
      },
      "Refused: only local files can be checked");
}

void SettleMemoryLimit(const CLI::App& app, Options& options) {
  if (options.task != Task::kRepair && options.task != Task::kDiscard) return;
  const CLI::Option* given = app.get_option_no_throw(kMemoryLimitOption);
  if (given != nullptr && given->count() > 0) return;
  options.memory_limit_bytes = repair::kDefaultReferenceMemoryBytes;
}

CommandLine UsageError(const std::string& what, bool qemu_compatible) {
  CommandLine result;
  result.exit_code = qemu_compatible ? static_cast<int>(kCompatNotChecked)
                                     : static_cast<int>(kExitUsageError);
  const std::string name(kToolName);
  result.standard_error =
      name + ": " + what + "\nUsage: " + name +
      (qemu_compatible ? " --compat=qemu-img [OPTION]... IMAGE\n"
                       : " [OPTION]... IMAGE...\n") +
      "Try '" + name + " --help' for more information.\n";
  return result;
}

CommandLine Printed(std::string text) {
  CommandLine result;
  result.standard_output = std::move(text);
  return result;
}

// CLI11 reports by exceptions; they end here.
CommandLine Parse(NamesParser& app, std::vector<std::string> arguments,
                  Options& options) {
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  try {
    app.ParseWithNames(std::move(arguments), options.images);
  } catch (const CLI::CallForHelp&) {
    return Printed(app.help());
  } catch (const CLI::CallForVersion& version) {
    return Printed(std::string(version.what()) + "\n");
  } catch (const CLI::ParseError& error) {
    return UsageError(error.what(), options.qemu_compatible);
  }
  const std::string wrong = WrongTogether(app, options);
  if (!wrong.empty()) return UsageError(wrong, options.qemu_compatible);
  if (options.sandbox) options.named_files = NamedFilePolicy::kNone;
  SettleMemoryLimit(app, options);
  CommandLine result;
  result.options = std::move(options);
  return result;
}

}  // namespace

bool MayWrite(const Options& options) {
  return options.task != Task::kCheck && !options.dry_run;
}

CommandLine ParseCommandLine(const std::vector<std::string>& arguments) {
  std::vector<std::string> rest = arguments;
  Options options;
  options.qemu_compatible = TakeCompat(rest);
  const std::string without = OptionWithoutValue(rest);
  if (!without.empty()) {
    return UsageError(without + ": a value is needed behind the '='",
                      options.qemu_compatible);
  }
  NamesParser app(kDescription);
  options.fleet.merge =
      !options.qemu_compatible && !rest.empty() && rest[0] == "merge";
  if (options.qemu_compatible) {
    DefineCompatOptions(app, options);
  } else if (options.fleet.merge) {
    rest.erase(rest.begin());
    DefineMergeOptions(app, options);
  } else {
    AddRepairMode(rest);
    DefineOptions(app, options);
  }
  return Parse(app, std::move(rest), options);
}

std::vector<std::string> OptionNames() {
  CLI::App app(kDescription);
  Options options;
  DefineOptions(app, options);
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    const std::vector<std::string>& longs = option->get_lnames();
    names.insert(names.end(), longs.begin(), longs.end());
  }
  return names;
}

CommandRow DescribeProgram() {
  CLI::App app(kDescription);
  CLI::App merge("Make one report of those of several runs");
  Options options;
  DefineOptions(app, options);
  DefineMergeOptions(merge, options);
  CommandRow program = DescribeCommand(app);
  program.commands.push_back(DescribeCommand(merge));
  program.commands.back().name = "merge";
  return program;
}

}  // namespace qcow2::cli
