// What a run remembers for the next one: when each image was checked and what
// came of it. Kept in the file of --state.
//
// Values and their text; reading and writing the file is at the end.
#ifndef CLI_FLEET_STATE_H_
#define CLI_FLEET_STATE_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/image_report.h"

namespace qcow2::cli {

// The last check of an image.
struct ImageState {
  uint64_t round = 0;     // that it was checked in
  int64_t checked = 0;    // seconds since 1970
  int64_t succeeded = 0;  // the last check that came to a verdict; 0: none did
  ImageStatus status = ImageStatus::kError;
  int exit_code = 0;
  uint64_t corruptions = 0;
  uint64_t leaks = 0;
  uint64_t warnings = 0;
  uint64_t suspect_orphans = 0;
  uint64_t leaked_bytes = 0;
  double seconds = 0;

  friend bool operator==(const ImageState&, const ImageState&) = default;
};

// Every image is checked once in a round. A run that ends before all are leaves
// the round to the next run.
struct FleetState {
  uint64_t round = 0;
  bool round_finished = true;
  std::map<std::string, ImageState> images;  // by path
};

// What a state file may hold at most.
inline constexpr uint64_t kMaxStateImages = 1'000'000;
inline constexpr uint64_t kMaxStateBytes = uint64_t{512} << 20;
// Rounds after which an image that was not met again is forgotten.
inline constexpr uint64_t kRoundsRemembered = 8;

// Begins a new round if the last one was finished, and forgets images that were
// not met for long.
void BeginRound(FleetState& state);

// Whether the image at `path` has yet to be checked in this round.
bool IsDue(const FleetState& state, const std::string& path);

// The text of a state file, and back. Images whose paths are longer than any a
// program is given, or that are too many, are left out, and count as never
// checked. InvalidArgument, with the line, for what
// is no such text: it has to be as this program writes it, to the last line.
std::string StateText(const FleetState& state);
absl::StatusOr<FleetState> ParseState(std::string_view text);

// An empty state if there is no file at `path`. What is not a regular file, too
// large or not a state is an error that names the file.
absl::StatusOr<FleetState> ReadState(const std::string& path);
// Puts the state in its place in one step, for its owner's eyes only.
absl::Status WriteState(const FleetState& state, const std::string& path);

}  // namespace qcow2::cli

#endif  // CLI_FLEET_STATE_H_
