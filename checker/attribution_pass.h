// Pass: who owns the clusters that were found wrong.
//
// Runs only when there is something to explain. Walks the L2 tables once more,
// against the finished reference map: gives refcount findings their owners and
// guest ranges, raises the overlap rows (601, 602), the COPIED rows (404, 405,
// 504, 505) and shared guest clusters (515).
#ifndef CHECKER_ATTRIBUTION_PASS_H_
#define CHECKER_ATTRIBUTION_PASS_H_

#include <span>
#include <vector>

#include "checker/check_state.h"
#include "checker/compare_pass.h"
#include "checker/l2_tables.h"
#include "checker/refcount_structures.h"
#include "checker/reference_map.h"

namespace qcow2::checker {

// `compared` is the compare pass's result for `map`. With `judge_copied` off
// the COPIED rows are left to someone else.
void RunAttributionPass(CheckState& state, std::span<const L2Table> tables,
                        const RefcountStructures& structures,
                        const ComparePassResult& compared,
                        const ReferenceMap& map, bool judge_copied);

}  // namespace qcow2::checker

#endif  // CHECKER_ATTRIBUTION_PASS_H_
