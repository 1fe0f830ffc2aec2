// Which of the owners of shared clusters keep their place, and which move.
//
// Pure values, no I/O.
#ifndef REPAIR_OVERLAP_DECISION_H_
#define REPAIR_OVERLAP_DECISION_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "repair/overlap_claims.h"

namespace qcow2::repair {

struct OverlapDecision {
  // Whoever keeps a cluster: an index into OverlapClaims::units, or
  // kGuestKeeps.
  static constexpr size_t kGuestKeeps = ~size_t{0};

  struct MovingUnit {
    size_t unit = 0;
    // A shared cluster it has to leave, and who keeps that.
    uint64_t cluster = 0;
    size_t keeper = 0;
  };
  std::vector<MovingUnit> units;
  // Clusters whose guest data moves, and who keeps each.
  std::map<uint64_t, size_t> guest_clusters;
  // Owners (a set of checker::Owner) of clusters that stay shared because none
  // of the owners can move.
  uint32_t contested = 0;

  bool empty() const { return units.empty() && guest_clusters.empty(); }
};

// What cannot be rebuilt beats what can; of the rest, what many structures
// hang on beats what few do; guest data comes last, unless it is tied to its
// place (`guest_is_tied`: LUKS derives the cipher's parameters from the host
// offset). Whoever cannot move keeps its place before all others. Nobody is
// moved whose place is stored in a cluster that stays shared: writing there
// would change what another owner reads.
OverlapDecision DecideOverlaps(const OverlapClaims& claims,
                               uint32_t cluster_bits, bool guest_is_tied);

}  // namespace qcow2::repair

#endif  // REPAIR_OVERLAP_DECISION_H_
