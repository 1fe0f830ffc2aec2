// Which clusters that a plan writes to can be guest data, and whether it
// overwrites bytes that nothing refers to but that are counted: the last copy
// of something, perhaps.
//
// Reads the image and the view.
#ifndef REPAIR_CHANGED_CLUSTERS_H_
#define REPAIR_CHANGED_CLUSTERS_H_

#include "engine/storage/overlay_file.h"
#include "repair/planner.h"
#include "repair/proof_log.h"
#include "repair/table_compare.h"

namespace qcow2::repair {

// The clusters whose bytes differ between `image` and `view` and that guest
// data may refer to on both sides; a cluster that nothing referred to before
// is not among them. Adds a failure to `log` for every unreferenced cluster of
// the image that is counted, or not known to be free, and would be overwritten.
RangeSet FindChangedClusters(const File& image, const OverlayFile& view,
                             const PlannedRepair& planned, ProofLog& log);

}  // namespace qcow2::repair

#endif  // REPAIR_CHANGED_CLUSTERS_H_
