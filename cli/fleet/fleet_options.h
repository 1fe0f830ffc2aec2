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

  // Whether one of the options was given that make a run one over many images,
  // with a summary of all instead of a report of each sound one.
  bool any() const {
    return recursive || backing_files || time_budget_seconds ||
           !state_file.empty() || !baselines.empty();
  }
};

// Adds the options to those of `app`; parsing fills `options`, which must
// outlive it. `now` is the time that "newer than 7d" counts back from.
void AddFleetOptions(CLI::App& app, int64_t now, FleetOptions& options);

// What is wrong with the options together, or nothing.
std::string WrongFleet(const FleetOptions& options, bool checks_only);

}  // namespace qcow2::cli

#endif  // CLI_FLEET_FLEET_OPTIONS_H_
