// Any bytes are a file of --state: it is refused, or what was read is written
// and read again the same, and a run can go on from it.
#include <string>
#include <string_view>

#include "cli/fleet/state.h"
#include "fuzz/fuzz_target.h"

namespace {

using qcow2::cli::FleetState;
using qcow2::cli::ImageState;

constexpr size_t kMaxInputBytes = size_t{64} << 10;

void CheckImage(const std::string& path, const ImageState& image,
                const FleetState& state) {
  FUZZ_CHECK(!path.empty() && image.round <= state.round);
  FUZZ_CHECK(image.checked >= 0 && image.succeeded >= 0);
  FUZZ_CHECK(image.exit_code >= 0 && image.exit_code < 256);
  FUZZ_CHECK(image.seconds >= 0);
  FUZZ_CHECK(IsDue(state, path) == (image.round < state.round));
}

// A round that is over is followed by one in which every image is due.
void CheckNextRound(FleetState state) {
  const uint64_t images = state.images.size();
  const bool finished = state.round_finished;
  BeginRound(state);
  FUZZ_CHECK(!state.round_finished && state.images.size() <= images);
  FUZZ_CHECK(finished || state.images.size() == images);
  for (const auto& [path, image] : state.images) {
    FUZZ_CHECK(!finished || IsDue(state, path));
    FUZZ_CHECK(image.round <= state.round);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > kMaxInputBytes) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<FleetState> state = qcow2::cli::ParseState(text);
  if (!state.ok()) {
    FUZZ_CHECK(!state.status().message().empty());
    return 0;
  }
  for (const auto& [path, image] : state->images) {
    CheckImage(path, image, *state);
  }
  const auto again = qcow2::cli::ParseState(StateText(*state));
  FUZZ_CHECK(again.ok() && again->round == state->round);
  FUZZ_CHECK(again->round_finished == state->round_finished);
  FUZZ_CHECK(again->images == state->images);
  CheckNextRound(*state);
  return 0;
}
