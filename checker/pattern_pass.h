// Pass: patterns of damage seen in the field.
//
// Looks at leaked clusters and empty L2 tables once the comparison is done:
// wiped L2 tables (522), leaked clusters shaped like L2 tables (523), and
// which leaks may be the rest of guest data and must not be freed.
#ifndef CHECKER_PATTERN_PASS_H_
#define CHECKER_PATTERN_PASS_H_

#include <span>
#include <vector>

#include "checker/check_state.h"
#include "checker/l2_tables.h"
#include "checker/reference_pass.h"

namespace qcow2::checker {

void RunPatternPass(CheckState& state, std::span<const L2Table> tables,
                    const ReferencePassResult& references);

}  // namespace qcow2::checker

#endif  // CHECKER_PATTERN_PASS_H_
