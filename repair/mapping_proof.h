// Proves that every guest byte readable before a planned repair reads the same
// after it: by comparing where L1 and L2 tables say it is, and its content
// only where that differs or was written to.
//
// Reads the image and the view. What it costs follows the number of distinct
// tables that changed, not the size of the disk.
#ifndef REPAIR_MAPPING_PROOF_H_
#define REPAIR_MAPPING_PROOF_H_

#include "engine/storage/overlay_file.h"
#include "repair/changed_clusters.h"
#include "repair/planner.h"
#include "repair/proof_log.h"
#include "repair/table_compare.h"

namespace qcow2::repair {

// Adds a failure to `log` for every guest range of the active disk and of each
// snapshot (VM state included) that could be read in `image`, reads otherwise
// in `view`, and is not named by the plan; and for every snapshot that is gone
// although something in it could be read. `changed`: from FindChangedClusters.
// REQUIRES: both graphs have a geometry, and the same one.
void ProveMapping(const File& image, const OverlayFile& view,
                  const PlannedRepair& planned, const ChangedClusters& changed,
                  ProofLog& log);

}  // namespace qcow2::repair

#endif  // REPAIR_MAPPING_PROOF_H_
