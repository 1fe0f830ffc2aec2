// Where a repair puts what it has to put somewhere: clusters that nothing
// refers to and nothing counts, or else new ones at the end of the file.
//
// Reads the image; grows the view it is given.
#ifndef REPAIR_FREE_CLUSTERS_H_
#define REPAIR_FREE_CLUSTERS_H_

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checker/graph.h"
#include "engine/storage/file.h"

namespace qcow2::repair {

// Free clusters are looked for once, in the image as it was when the first one
// was wanted: what the plan itself frees is never used again, so that no
// repair overwrites what may be the last copy of something.
class FreeClusters {
 public:
  // `can_grow`: whether the file may become longer.
  explicit FreeClusters(bool can_grow) : can_grow_(can_grow) {}

  // The host offset, in bytes, of `clusters` consecutive clusters that are the
  // caller's from now on. They may hold old bytes. `view` is made longer if
  // there is no such room inside it. ResourceExhausted when there is none and
  // the file must not grow. `graph` is of `view`, with a map.
  absl::StatusOr<uint64_t> Allocate(const checker::Graph& graph,
                                    uint64_t clusters, File& view);

  // From now on the file does not become longer than `end_bytes`: what lies
  // behind is named by entries that are still damaged, and a new cluster there
  // would become theirs.
  void LimitGrowth(uint64_t end_bytes) { growth_limit_bytes_ = end_bytes; }

  // Whether an Allocate found no room since the last call.
  bool TakeRanOut() { return std::exchange(ran_out_, false); }

  // Whether `cluster` was given to somebody. Its stored count may not say so
  // yet, which is no sign of damage.
  bool IsGiven(uint64_t cluster) const;

 private:
  struct Run {
    uint64_t first_cluster = 0;
    uint64_t clusters = 0;
  };

  absl::Status FindFreeRuns(const checker::Graph& graph, const File& view);
  // Adds what is free among the clusters that the block at `offset` counts.
  absl::Status AddFreeRunsOf(const checker::Graph& graph, const File& view,
                             const checker::RefcountBlock& block);
  void AddRun(uint64_t first_cluster, uint64_t clusters);
  // Makes the run begin with so many clusters that are not in use by now, or
  // end up shorter than that.
  static void SkipReferenced(const checker::Graph& graph, uint64_t clusters,
                             Run& run);
  void NoteGiven(uint64_t first_cluster, uint64_t clusters);
  absl::StatusOr<uint64_t> Grow(const checker::Graph& graph, uint64_t clusters,
                                File& view) const;

  bool can_grow_;
  uint64_t growth_limit_bytes_ = ~uint64_t{0};
  bool ran_out_ = false;
  bool found_ = false;
  std::vector<Run> runs_;  // ascending
  // Runs before this one are too small to be looked at again for one cluster.
  size_t next_ = 0;
  // What was given away: first cluster to the one behind the last.
  std::map<uint64_t, uint64_t> given_;
};

}  // namespace qcow2::repair

#endif  // REPAIR_FREE_CLUSTERS_H_
