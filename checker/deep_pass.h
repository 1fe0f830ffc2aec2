// What a check looks at with --deep only, beyond metadata: whether compressed
// clusters can be decompressed.
#ifndef CHECKER_DEEP_PASS_H_
#define CHECKER_DEEP_PASS_H_

#include <span>

#include "checker/check_state.h"
#include "checker/l2_tables.h"

namespace qcow2::checker {

// Decompresses every compressed cluster that `tables`, the image's distinct L2
// tables, name, with as many threads as options.jobs allows. Reports those
// that do not yield exactly one cluster. Does nothing for images whose guest
// data is encrypted or in another file: they can have no compressed clusters.
void RunDeepPass(CheckState& state, std::span<const L2Table> tables);

}  // namespace qcow2::checker

#endif  // CHECKER_DEEP_PASS_H_
