// Pass: compares the stored refcounts with the finished reference map.
//
// Raises rows 306, 307 and 310 to 314. Says which runs of clusters need a
// closer look (who owns them, whether COPIED is right), which is the
// attribution pass's part.
#ifndef CHECKER_COMPARE_PASS_H_
#define CHECKER_COMPARE_PASS_H_

#include <cstdint>
#include <vector>

#include "checker/check_state.h"
#include "checker/refcount_structures.h"
#include "checker/reference_map.h"

namespace qcow2::checker {

struct ClusterRun {
  uint64_t first_cluster = 0;
  uint64_t clusters = 0;
};

struct ComparePassResult {
  // Runs in which a metadata structure and a second owner meet.
  std::vector<ClusterRun> overlaps;
  // Runs whose references contradict a COPIED flag.
  std::vector<ClusterRun> copied_contradictions;
  // Some cluster is referred to by an active entry at all.
  uint64_t highest_cluster_in_use = 0;
};

// Compares the range of clusters that `map` covers.
ComparePassResult RunComparePass(CheckState& state,
                                 const RefcountStructures& structures,
                                 const ReferenceMap& map);

}  // namespace qcow2::checker

#endif  // CHECKER_COMPARE_PASS_H_
