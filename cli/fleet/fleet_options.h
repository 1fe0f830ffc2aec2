// The options of a run over many images.
//
// Pure; like options.cc it knows the option parser.
#ifndef CLI_FLEET_FLEET_OPTIONS_H_
#define CLI_FLEET_FLEET_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/option_parser.h"

namespace qcow2::cli {

// One of `count` parts of a fleet, from 0 on.
struct Shard {
  uint64_t index = 0;
  uint64_t count = 1;
};

// Whether the image at `path` belongs to `shard`: to exactly one of as many,
// and always to the same.
bool IsInShard(const std::string& path, const Shard& shard);

// Every field is as given or at its default; see --help for their meaning.
struct FleetOptions {
  bool recursive = false;
  bool backing_files = false;
  std::vector<std::string> exclude;
  std::optional<int64_t> newer_than;  // seconds since 1970
  std::optional<int64_t> time_budget_seconds;
  std::string state_file;       // empty: none
  uint64_t max_rate_bytes = 0;  // a second; 0: no limit
  std::vector<std::string> baselines;
  Shard shard;
  bool merge = false;  // what is named are reports to put together

  // Whether one of the options was given that make a run one over many images,
  // with a summary of all instead of a report of each sound one.
  bool any() const {
    return recursive || backing_files || time_budget_seconds ||
           !state_file.empty() || !baselines.empty() || shard.count > 1;
  }
};

// Adds the options to those of `app`; parsing fills `options`, which must
// outlive it. `now` is the time that "newer than 7d" counts back from.
void AddFleetOptions(CLI::App& app, int64_t now, FleetOptions& options);

// The options of `qcow2-fsck merge`, but for what is printed.
void AddMergeOptions(CLI::App& app, std::vector<std::string>& reports);

// What is wrong with the options together, or nothing.
std::string WrongFleet(const FleetOptions& options, bool checks_only);

}  // namespace qcow2::cli

#endif  // CLI_FLEET_FLEET_OPTIONS_H_
