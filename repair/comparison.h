// Two checks compared, of an image before and after a repair: what is gone,
// what is left and why, what came to light.
//
// Pure, no I/O.
#ifndef REPAIR_COMPARISON_H_
#define REPAIR_COMPARISON_H_

#include <vector>

#include "checker/finding.h"
#include "checker/report.h"
#include "repair/repair_options.h"
#include "repair/transaction_report.h"

namespace qcow2::repair {

// Whether both are of the same problem and have an entry, a cluster or a byte
// of the guest in common. Tables may have moved from one to the other.
bool SameDamage(const checker::Finding& a, const checker::Finding& b);

// Fills `mended`, `fixed`, `appeared` and `left` of `transaction`, whose plan
// has been made.
void CompareReports(const checker::CheckReport& before,
                    const checker::CheckReport& after,
                    const RepairOptions& options,
                    TransactionReport& transaction);

}  // namespace qcow2::repair

#endif  // REPAIR_COMPARISON_H_
