// Proves that a planned repair brings no damage of its own: compares what the
// check found in the image and in the view of it.
//
// Pure: works on the two reports.
#ifndef REPAIR_FINDING_PROOF_H_
#define REPAIR_FINDING_PROOF_H_

#include "repair/planner.h"
#include "repair/proof_log.h"

namespace qcow2::repair {

// Adds a failure to `log` for every corruption or leak in planned.after that
// was not in planned.before: more occurrences of a problem, or a place that did
// not have it (where all places are listed). Damage that the check of the image
// could not yet see is not new: what lies in tables that a mended entry made
// reachable, and anything if the header did not let it look further. Also when
// the check of the view was cancelled, or could read less than before.
void ProveFindings(const PlannedRepair& planned, ProofLog& log);

}  // namespace qcow2::repair

#endif  // REPAIR_FINDING_PROOF_H_
