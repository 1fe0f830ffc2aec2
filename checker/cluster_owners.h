// Who owns which clusters: the owners met in a set of host cluster runs.
//
// In memory only.
#ifndef CHECKER_CLUSTER_OWNERS_H_
#define CHECKER_CLUSTER_OWNERS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "checker/check_state.h"
#include "checker/compare_pass.h"
#include "checker/l2_tables.h"

namespace qcow2::checker {

// One owner's claim to a run of clusters.
struct Claim {
  uint64_t first_cluster = 0;
  uint64_t clusters = 0;
  uint32_t owner = 0;  // one Owner bit
  bool copied = false;
  // For guest data: the entry of the L2 table that names the first cluster.
  uint32_t l2_table = 0;  // index into the L2 tables
  uint32_t l2_entry = 0;
  // For metadata: which one of its kind.
  uint64_t index = 0;
  // References the claim stands for.
  uint64_t references = 1;
};

// Clusters someone wants to know about: sorted, disjoint runs.
class ClusterSet {
 public:
  ClusterSet() = default;
  // Takes runs in any order, overlapping or not.
  explicit ClusterSet(std::vector<ClusterRun> runs);

  bool empty() const { return runs_.empty(); }
  // Sorted, none touches the next.
  const std::vector<ClusterRun>& runs() const { return runs_; }
  bool Contains(uint64_t cluster) const {
    const size_t behind = FirstBehind(cluster);
    return behind < runs_.size() && runs_[behind].first_cluster <= cluster;
  }
  // Calls `visit(first, clusters)` for each part of [first, first + clusters)
  // that is in the set.
  template <typename Visit>
  void Intersect(uint64_t first, uint64_t clusters, Visit visit) const;

 private:
  // The first run that ends behind `cluster`.
  size_t FirstBehind(uint64_t cluster) const;

  std::vector<ClusterRun> runs_;
};

template <typename Visit>
void ClusterSet::Intersect(uint64_t first, uint64_t clusters,
                           Visit visit) const {
  const uint64_t end = first + clusters;
  for (size_t i = FirstBehind(first); i < runs_.size(); ++i) {
    const ClusterRun& run = runs_[i];
    if (run.first_cluster >= end) return;
    const uint64_t from = run.first_cluster > first ? run.first_cluster : first;
    const uint64_t run_end = run.first_cluster + run.clusters;
    visit(from, (run_end < end ? run_end : end) - from);
  }
}

// Claims, looked up by cluster.
class ClusterOwners {
 public:
  // Keeps at most `max_claims`; what is beyond is only noted as left out.
  explicit ClusterOwners(size_t max_claims) : max_claims_(max_claims) {}

  void Add(const Claim& claim);
  // REQUIRES: called after the last Add and before the first look-up.
  void Sort();
  // All claims that touch [first, first + clusters).
  std::vector<Claim> ClaimsOn(uint64_t first, uint64_t clusters) const;
  bool complete() const { return complete_; }

 private:
  size_t max_claims_;
  bool complete_ = true;
  std::vector<Claim> claims_;
  uint64_t longest_ = 0;
};

// "snapshot table", "L1 table of snapshot 'x'", "refcount block 3" ...
std::string DescribeClaim(const CheckState& state,
                          std::span<const L2Table> tables, const Claim& claim);

}  // namespace qcow2::checker

#endif  // CHECKER_CLUSTER_OWNERS_H_
