// Repairs of all kinds on small images, for the tests of the journal.
#ifndef REPAIR_JOURNAL_SCENARIOS_H_
#define REPAIR_JOURNAL_SCENARIOS_H_

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "engine/storage/file.h"
#include "repair/journal/commit.h"
#include "repair/journal/journal.h"
#include "repair/journal/simulated_disk.h"

namespace qcow2::repair {

struct Scenario {
  std::string name;
  SimulatedDisk::Contents old_image;
  // Changes the view of the image.
  std::function<void(File&)> plan;
  std::vector<ByteRange> witnesses;
  bool keep_undo = true;
  // What is in the folder before.
  SimulatedDisk::Names files;
};

inline void PrintTo(const Scenario& scenario, std::ostream* out) {
  *out << scenario.name;
}

// The kinds: version 3 and 2, with and without growing, shrinking, a header
// that becomes valid only by the repair, images shorter than a sector, an older
// undo file in the folder, no undo file wanted.
std::vector<Scenario> Scenarios();

inline constexpr ImageIdentity kScenarioIdentity = {.device = 7, .inode = 11};

// The usual names in the folder of `disk`.
JournalPlace PlaceOn(SimulatedDisk& disk);

// The image as `scenario` plans it.
SimulatedDisk::Contents NewImage(const Scenario& scenario);

// Plans `scenario` on the image of `disk`, without its faults, and commits.
CommitResult CommitScenario(const Scenario& scenario, SimulatedDisk& disk,
                            const CallFault* fault = nullptr);

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_SCENARIOS_H_
