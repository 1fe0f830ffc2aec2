// What every step of planning works on: the view being changed, what the last
// check of it said, and the plan that grows.
//
// A bundle of references, valid for one step only: as soon as a step has
// changed the view, report and graph are out of date and a new check is due.
#ifndef REPAIR_REPAIR_CONTEXT_H_
#define REPAIR_REPAIR_CONTEXT_H_

#include <cstdint>
#include <map>
#include <vector>

#include "checker/graph.h"
#include "checker/report.h"
#include "engine/storage/file.h"
#include "engine/storage/overlay_file.h"
#include "repair/free_clusters.h"
#include "repair/plan.h"
#include "repair/repair_options.h"

namespace qcow2::repair {

struct RepairContext {
  // The image as it is; only ever read.
  const File& image;
  // The image as planned so far.
  OverlayFile& view;
  const RepairOptions& options;
  // Of the view as it was before this step. Findings are kept up to a limit
  // for each problem: what is left is for the next round.
  const checker::CheckReport& report;
  const checker::Graph& graph;
  // What was metadata in an earlier round, whether it still is or not.
  const std::vector<checker::MetadataRegion>& former_regions;
  FreeClusters& free_clusters;
  // Refcount blocks placed in this or an earlier round: host offset in bytes to
  // the index of the table entry.
  std::map<uint64_t, uint64_t>& placed_blocks;
  Plan& plan;
};

}  // namespace qcow2::repair

#endif  // REPAIR_REPAIR_CONTEXT_H_
