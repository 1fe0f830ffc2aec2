// Reads all that an image has: its disk by extents, every snapshot with its VM
// state, the list of its bitmaps.
//
// For tests only. Reads through the engine; goes on behind what cannot be read.
#ifndef TESTS_ENGINE_READ_EVERYTHING_H_
#define TESTS_ENGINE_READ_EVERYTHING_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "engine/image/image.h"

namespace qcow2 {

// A disk may be exabytes long and a table say another thing of every cluster:
// how much is read at most, of each disk.
struct ReadBudget {
  uint64_t bytes = uint64_t{16} << 20;
  uint64_t extents = 4096;
  // Snapshots, the first ones.
  uint64_t snapshots = 16;
};

struct ReadResult {
  // Whether the budget was enough for all of it.
  bool complete = true;
  // What went wrong, in order; Internal where the engine contradicts itself:
  // an extent that is empty or too long, or zeros that do not read as zeros.
  std::vector<absl::Status> errors;
};

ReadResult ReadEverything(Image& image, const ReadBudget& budget = {});

}  // namespace qcow2

#endif  // TESTS_ENGINE_READ_EVERYTHING_H_
