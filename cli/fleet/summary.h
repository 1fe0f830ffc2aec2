// What came of a run over many images, all together.
//
// Values and their texts; no I/O.
#ifndef CLI_FLEET_SUMMARY_H_
#define CLI_FLEET_SUMMARY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/image_report.h"
#include "cli/json_printer.h"
#include "cli/json_values.h"

namespace qcow2::cli {

enum class FleetEnd {
  kComplete,    // every image was checked
  kTimeBudget,  // the time was up
  kCancelled,
};
// "complete", "time-budget", "cancelled".
std::string_view NameOf(FleetEnd end);

// An image that a person should look at.
struct DamagedImage {
  std::string path;
  ImageStatus status = ImageStatus::kError;
  int exit_code = 0;
  uint64_t corruptions = 0;
  uint64_t leaks = 0;
  uint64_t overlays = 0;  // images that lie on it
};

// Damaged images that are listed by name.
inline constexpr size_t kMaxDamagedListed = 20;

// Images that a baseline has and that are not there any more, listed by name.
inline constexpr size_t kMaxMissingListed = 20;

// All changes since the baseline.
struct FleetChange {
  uint64_t images = 0;  // in which something is new or gone
  uint64_t new_findings = 0;
  uint64_t new_corruptions = 0;
  uint64_t new_leaks = 0;
  uint64_t gone_findings = 0;
  std::vector<std::string> missing;  // at most kMaxMissingListed
  uint64_t missing_omitted = 0;
};

struct FleetSummary {
  FleetEnd end = FleetEnd::kComplete;
  int exit_code = 0;
  uint64_t found = 0;
  uint64_t checked = 0;         // by this run
  uint64_t earlier = 0;         // by earlier runs of the same round
  uint64_t left = 0;            // for later runs
  uint64_t other_names = 0;     // hard links to images that were found
  uint64_t doubtful = 0;        // files that look like images but are none
  StatusCounts by_status = {};  // of those checked
  uint64_t corruptions = 0;
  uint64_t leaks = 0;
  uint64_t leaked_bytes = 0;
  uint64_t warnings = 0;
  uint64_t suspect_orphans = 0;
  uint64_t unreadable_bytes = 0;
  // The worst first, at most kMaxDamagedListed.
  std::vector<DamagedImage> damaged;
  uint64_t damaged_omitted = 0;
  std::optional<FleetChange> change;  // with a baseline
  double seconds = 0;
  // What kept images from being found or remembered, in words.
  std::vector<std::string> errors;
};

// The numbers of a summary by their names in JSON.
struct SummaryNumber {
  const char* name;
  uint64_t FleetSummary::*number;
};
// Those about images, under "images".
inline constexpr SummaryNumber kImageNumbers[] = {
    {"found", &FleetSummary::found},
    {"checked", &FleetSummary::checked},
    {"earlier", &FleetSummary::earlier},
    {"left", &FleetSummary::left},
    {"other_names", &FleetSummary::other_names},
    {"doubtful", &FleetSummary::doubtful},
};
// Those about what was found in them, under "counts".
inline constexpr SummaryNumber kCountNumbers[] = {
    {"corruptions", &FleetSummary::corruptions},
    {"leaks", &FleetSummary::leaks},
    {"leaked_bytes", &FleetSummary::leaked_bytes},
    {"warnings", &FleetSummary::warnings},
    {"suspect_orphans", &FleetSummary::suspect_orphans},
    {"unreadable_bytes", &FleetSummary::unreadable_bytes},
};

// Adds an image that was checked and has `overlays` lying on it.
void AddToSummary(const ImageReport& report, uint64_t overlays,
                  FleetSummary& summary);

// Lists a damaged image by name, in the place of a better one if need be.
void ListDamaged(DamagedImage image, FleetSummary& summary);

// For people, with the exit code; begins with an empty line.
std::string SummaryText(const FleetSummary& summary);
// An object with the key "summary", without a newline at its end.
std::string SummaryJson(const FleetSummary& summary, JsonLayout layout);

}  // namespace qcow2::cli

#endif  // CLI_FLEET_SUMMARY_H_
