#include "cli/fleet/fleet_options.h"

#include <algorithm>
#include <cstddef>

#include "cli/fleet/time_text.h"
#include "cli/stable_hash.h"
#include "cli/units.h"

namespace qcow2::cli {
namespace {

// Adds an option that may be given more than once, and not without a value.
void AddList(CLI::App& app, const char* name, const char* value_name,
             const char* help, std::vector<std::string>& target) {
  app.add_option_function<std::vector<std::string>>(
         name,
         [name, &target](const std::vector<std::string>& values) {
           if (std::ranges::find(values, "") != values.end()) {
             throw CLI::ValidationError(name, "a value is needed");
           }
           target = values;
         },
         help)
      ->type_name(value_name)
      ->take_all()
      ->allow_extra_args(false);
}

std::string TakeNewerThan(const std::string& value, int64_t now,
                          FleetOptions& options) {
  if (const std::optional<int64_t> ago = ParseDuration(value)) {
    options.newer_than = now - *ago;
  } else if (const std::optional<int64_t> date = ParseDate(value)) {
    options.newer_than = date;
  } else {
    return "'" + value + "' is neither a date such as 2026-11-21 or " +
           "2026-11-21T04:30 nor a duration such as 36h or 7d";
  }
  return {};
}

std::string TakeTimeBudget(const std::string& value, FleetOptions& options) {
  options.time_budget_seconds = ParseDuration(value);
  return options.time_budget_seconds
             ? ""
             : "'" + value + "' is not a duration such as 90s, 30m or 1h30m";
}

std::string TakeMaxRate(const std::string& value, FleetOptions& options) {
  const std::optional<uint64_t> size = ParseSize(value);
  if (!size || *size < 4096) {
    return "'" + value + "' is not a size of at least 4K, such as 512K or 20M";
  }
  options.max_rate_bytes = *size;
  return {};
}

std::string TakeShard(const std::string& value, FleetOptions& options) {
  const size_t slash = value.find('/');
  const std::optional<uint64_t> index = ParseNumber(value.substr(0, slash));
  const std::optional<uint64_t> count =
      slash == std::string::npos ? std::nullopt
                                 : ParseNumber(value.substr(slash + 1));
  if (!index || !count || *index >= *count) {
    return "'" + value + "' is not I/N with I from 0 to N-1, such as 0/4";
  }
  options.shard = {*index, *count};
  return {};
}

void AddSearchOptions(CLI::App& app, int64_t now, FleetOptions& options) {
  app.add_flag("--recursive", options.recursive,
               "Check every qcow2 image in the folders given and below them, "
               "found by content; symbolic links are not followed");
  AddList(
      app, "--exclude", "GLOB",
      "With --recursive: leave out files and folders whose name matches "
      "GLOB, or whose path does if GLOB has a slash; may be given more than "
      "once",
      options.exclude);
  AddValue(app, "--newer-than", "TIME",
           "With --recursive: leave out what was last modified before TIME, a "
           "date or as long ago as a duration says",
           [&options, now](const std::string& value) {
             return TakeNewerThan(value, now, options);
           });
  app.add_flag("--with-backing-files", options.backing_files,
               "Also check the backing files of the images, wherever they are, "
               "each once");
}

}  // namespace

bool IsInShard(const std::string& path, const Shard& shard) {
  return StableHash(path) % shard.count == shard.index;
}

void AddMergeOptions(CLI::App& app, std::vector<std::string>& reports) {
  NamesParser::AddNames(app, "REPORT", "The reports", reports);
}

void AddFleetOptions(CLI::App& app, int64_t now, FleetOptions& options) {
  AddSearchOptions(app, now, options);
  AddValue(
      app, "--time-budget", "DURATION",
      "Begin no further image when DURATION (as 90s, 6h) is over",
      [&](const std::string& value) { return TakeTimeBudget(value, options); });
  AddValue(app, "--state", "FILE",
           "Keep in FILE when each image was checked: those checked longest "
           "ago come first, and a run that was stopped is carried on",
           [&](const std::string& value) {
             options.state_file = value;
             return value.empty() ? "the name of a file is needed" : "";
           });
  AddList(app, "--baseline", "REPORT",
          "Report only what is new or gone since REPORT (JSON or ndjson of an "
          "earlier run), and exit by what is new; of several the last that has "
          "an image counts. --report gets all",
          options.baselines);
  AddValue(app, "--shard", "I/N",
           "Check only part I (from 0) of N parts of the images, which never "
           "changes; see also qcow2-fsck merge --help",
           [&](const std::string& value) { return TakeShard(value, options); });
  AddValue(
      app, "--max-rate", "BYTES",
      "Read at most BYTES (suffix K, M, G or T) a second, of all images "
      "together",
      [&](const std::string& value) { return TakeMaxRate(value, options); });
}

std::string WrongFleet(const FleetOptions& options, bool checks_only) {
  if (!checks_only && (options.any() || options.max_rate_bytes != 0)) {
    return "--recursive, --with-backing-files, --time-budget, --state, "
           "--baseline, --shard and --max-rate are for checks: a repair wants "
           "its images named";
  }
  if (options.recursive) return {};
  if (!options.exclude.empty()) return "--exclude needs --recursive";
  return options.newer_than ? "--newer-than needs --recursive" : "";
}

}  // namespace qcow2::cli
