// Fills an OwnershipMap while an image is checked.
//
// Reads the refcount blocks and the L2 tables once more, so that a check nobody
// wants a picture of costs nothing. Takes a few MiB, whatever the image is.
#ifndef CHECKER_OWNERSHIP_COLLECTOR_H_
#define CHECKER_OWNERSHIP_COLLECTOR_H_

#include <mutex>
#include <span>
#include <vector>

#include "checker/check_state.h"
#include "checker/cluster_owners.h"
#include "checker/compare_pass.h"
#include "checker/l2_tables.h"
#include "checker/ownership_map.h"
#include "checker/refcount_structures.h"
#include "checker/reference_map.h"

namespace qcow2::checker {

class OwnershipCollector {
 public:
  // REQUIRES: the state has a geometry. Both must outlive the collector.
  OwnershipCollector(CheckState& state, OwnershipMap& map);

  // After the passes over one window of clusters: what `references` and the
  // stored counts say of it.
  void AddWindow(const RefcountStructures& structures,
                 const ComparePassResult& compared,
                 const ReferenceMap& references);

  // After the last window: who the owners are.
  void Finish(std::span<const L2Table> tables,
              const RefcountStructures& structures);

 private:
  class CountVisitor;
  class OwnerVisitor;

  // Clusters of the guest and of those that only snapshots have, by what the
  // references to them look like.
  void CountData(const ReferenceMap& references);
  void CompareCounts(const RefcountStructures& structures,
                     const ReferenceMap& references);
  void Mark(const MarkedRun& run);

  // Where damage is, and a little around it.
  void ChooseExact();
  void MakeExact(const std::vector<ClusterRun>& wrong);
  void AddStructures(std::span<const L2Table> tables,
                     const RefcountStructures& structures);
  void AddStructure(const OwnedRun& run);
  void WalkL2Tables(std::span<const L2Table> tables);
  // Keeps a run, or what is exact of it.
  void Keep(const OwnedRun& run);
  void KeepPart(const OwnedRun& run);
  void GoSparse();
  // Clusters of no owner that was counted by class are free, or of classes that
  // only the walk over the L2 tables can tell apart.
  void CompleteBins();
  void Sort();
  // Makes the names of the L1 tables that own something, and of no others.
  void NameDisks();

  CheckState& state_;
  const Geometry& geometry_;
  OwnershipMap& map_;
  ClusterSet exact_;
  ClusterSet damaged_;
  // By bin: clusters in use that are not the active disk's, and the bytes that
  // the walk saw of each class they may be.
  std::vector<uint64_t> other_;
  struct OtherSeen {
    uint64_t snapshot = 0;
    uint64_t compressed = 0;
    uint64_t vm_state = 0;
  };
  std::vector<OtherSeen> other_seen_;
  bool sparse_ = false;
  bool metadata_sparse_ = false;
  std::mutex mutex_;  // guards what is filled by a walk
};

}  // namespace qcow2::checker

#endif  // CHECKER_OWNERSHIP_COLLECTOR_H_
