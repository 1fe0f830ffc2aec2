// Pass, only for --compat=qemu-img: counts COPIED flags the way qemu-img does.
//
// qemu-img judges COPIED against the refcounts stored in the image, not
// against the references found. Where the two differ, so do its counts; this
// pass reproduces them without findings of their own.
#ifndef CHECKER_STORED_COPIED_PASS_H_
#define CHECKER_STORED_COPIED_PASS_H_

#include "checker/check_state.h"
#include "checker/l2_tables.h"
#include "checker/refcount_structures.h"

namespace qcow2::checker {

// Adds the rows 404, 405, 504 and 505 for every flag of an active table that
// disagrees with the stored refcount.
void RunStoredCopiedPass(CheckState& state,
                         const RefcountStructures& structures);

}  // namespace qcow2::checker

#endif  // CHECKER_STORED_COPIED_PASS_H_
