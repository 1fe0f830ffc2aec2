// Clusters that something damaged may refer to, whose counts are not lowered:
// those behind a wiped L2 table, leaked L2 tables and what they name, and all
// in an image whose mapping could not be followed everywhere. Leaked, they may
// be what is left of guest data; in use, what cannot be read may share them.
//
// Reads only.
#ifndef REPAIR_SUSPECT_ORPHANS_H_
#define REPAIR_SUSPECT_ORPHANS_H_

#include <cstdint>
#include <vector>

#include "checker/cluster_owners.h"
#include "checker/compare_pass.h"
#include "checker/graph.h"
#include "engine/storage/file.h"
#include "repair/repair_context.h"
#include "repair/stored_refcounts.h"

namespace qcow2::repair {

class SuspectOrphans {
 public:
  // Nothing is suspect.
  SuspectOrphans() = default;

  // Those that a step has to spare: none if the options free suspects. Looks at
  // every leaked cluster of the view. Holes are not read; of the rest the first
  // bytes, and all of what might be an L2 table. Former regions are known to
  // have been something else, like the tables of bitmaps that were dropped.
  static SuspectOrphans Find(const RepairContext& context);

  // Whether the count of `cluster` must not be lowered.
  bool Contains(uint64_t cluster) const;

 private:
  void AddWindowsOfWipedTables(const checker::Graph& graph,
                               StoredRefcounts& stored);
  void AddOrphanTables(const checker::Graph& graph, const File& view,
                       StoredRefcounts& stored);
  // Adds the cluster, and what it names, if it is shaped like an L2 table.
  void ExamineLeakedCluster(const checker::Graph& graph, const File& view,
                            uint64_t cluster);

  // All of them, but for what is known to have been something else.
  bool all_ = false;
  checker::ClusterSet known_;
  // As they are found, and then as a set.
  std::vector<checker::ClusterRun> runs_;
  checker::ClusterSet suspects_;
};

}  // namespace qcow2::repair

#endif  // REPAIR_SUSPECT_ORPHANS_H_
