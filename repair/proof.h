// The proof before the commit: that a planned repair brings no new damage,
// changes nothing that a guest can read but what the plan names, and
// overwrites nothing that may be the last copy of something.
//
// Reads the image and the view of it, writes nothing. It takes nothing from
// the steps that planned but the view, and what the two checks learnt.
#ifndef REPAIR_PROOF_H_
#define REPAIR_PROOF_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/storage/file.h"
#include "engine/storage/overlay_file.h"
#include "repair/planner.h"
#include "repair/proof_log.h"

namespace qcow2::repair {

struct ProofOptions {
  // Failures listed; more are counted.
  size_t max_failures = 100;
  // When set and true, the proof ends soon, as not given.
  const std::atomic<bool>* cancel = nullptr;
};

struct ProofResult {
  // Whether the plan may be committed.
  bool ok = false;
  bool cancelled = false;
  std::vector<ProofFailure> failures;
  uint64_t failures_omitted = 0;
  ProofStatistics statistics;
};

// Proves `planned`, made by PlanRepair for `image` in `view`. A guest byte
// counts as readable before when QEMU would give it rather than an I/O error;
// such a byte has to read the same after, on the active disk and in every
// snapshot, VM state included, unless planned.plan.guest_changes() names it.
ProofResult Prove(const File& image, const OverlayFile& view,
                  const PlannedRepair& planned,
                  const ProofOptions& options = {});

}  // namespace qcow2::repair

#endif  // REPAIR_PROOF_H_
