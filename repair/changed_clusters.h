// Which clusters that a plan writes to can be guest data, and whether it
// overwrites bytes that nothing refers to but that are counted: the last copy
// of something, perhaps.
//
// Reads the image and the view.
#ifndef REPAIR_CHANGED_CLUSTERS_H_
#define REPAIR_CHANGED_CLUSTERS_H_

#include <cstdint>
#include <vector>

#include "engine/storage/overlay_file.h"
#include "repair/planner.h"
#include "repair/proof_log.h"
#include "repair/table_compare.h"

namespace qcow2::repair {

struct ChangedClusters {
  // Clusters whose bytes differ between image and view and that guest data may
  // refer to on both sides; one that nothing referred to before is not here.
  RangeSet guest;
  // L2 tables that nothing referred to before, but that were counted, and that
  // are in use again and changed: lost tables found again. Host offsets.
  std::vector<uint64_t> found_tables;
};

// Adds a failure to `log` for every other unreferenced cluster of the image
// that is counted, or not known to be free, and would be overwritten.
ChangedClusters FindChangedClusters(const File& image, const OverlayFile& view,
                                    const PlannedRepair& planned,
                                    ProofLog& log);

}  // namespace qcow2::repair

#endif  // REPAIR_CHANGED_CLUSTERS_H_
