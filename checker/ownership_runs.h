// Runs of owners and the bins they are counted in: merged, cut, counted.
//
// Pure values.
#ifndef CHECKER_OWNERSHIP_RUNS_H_
#define CHECKER_OWNERSHIP_RUNS_H_

#include <algorithm>
#include <cstdint>

#include "checker/ownership_map.h"

namespace qcow2::checker {

// Calls `visit(bin, units)` for the part of [first, first + count) in each bin.
template <typename Bins, typename Visit>
void ForEachBin(Bins& bins, uint64_t bin_length, uint64_t first, uint64_t count,
                Visit visit) {
  const uint64_t end = std::min(first + count, bins.size() * bin_length);
  while (first < end) {
    const uint64_t bin_end = (first / bin_length + 1) * bin_length;
    const uint64_t stop = std::min(end, bin_end);
    visit(bins[first / bin_length], stop - first);
    first = stop;
  }
}

inline bool IsData(const OwnedRun& run) {
  return (run.owner & kMetadataOwners) == 0;
}

// Whether each cluster of the run is one cluster of the guest.
inline bool IsClusterByCluster(const OwnedRun& run) {
  return IsData(run) && run.cluster_class != ClusterClass::kCompressedData;
}

// Makes one run of two if the second carries on where the first ends, for the
// guest as well as in the file.
inline bool Merge(OwnedRun& run, const OwnedRun& next) {
  if (!IsData(run) || run.owner != next.owner || run.disk != next.disk ||
      run.cluster_class != next.cluster_class ||
      run.references != next.references ||
      run.guest_offset_bytes + run.guest_length_bytes !=
          next.guest_offset_bytes) {
    return false;
  }
  const uint64_t end = run.first_cluster + run.clusters;
  // Compressed data may begin in the cluster where that before it ends.
  const bool shares = run.owner == kOwnerCompressedData &&
                      next.first_cluster + 1 == end && run.clusters > 0;
  if (next.first_cluster != end && !shares) return false;
  run.clusters = next.first_cluster + next.clusters - run.first_cluster;
  run.guest_length_bytes += next.guest_length_bytes;
  return true;
}

// The part [first, first + clusters) of a run.
inline OwnedRun Cut(OwnedRun run, uint64_t first, uint64_t clusters,
                    uint64_t cluster_size) {
  if (IsClusterByCluster(run)) {
    const uint64_t skipped = (first - run.first_cluster) * cluster_size;
    run.guest_offset_bytes += skipped;
    run.guest_length_bytes = std::min(
        run.guest_length_bytes - std::min(skipped, run.guest_length_bytes),
        clusters * cluster_size);
  }
  run.first_cluster = first;
  run.clusters = clusters;
  return run;
}

}  // namespace qcow2::checker

#endif  // CHECKER_OWNERSHIP_RUNS_H_
