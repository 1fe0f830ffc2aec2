// Which finding explains which: one damaged block can raise a thousand wrong
// refcounts, and the report should say so once.
//
// Pure: works on the list of findings.
#ifndef CHECKER_ROOT_CAUSE_H_
#define CHECKER_ROOT_CAUSE_H_

#include <vector>

#include "checker/finding.h"
#include "engine/format/geometry.h"

namespace qcow2::checker {

// Sets root_cause of every finding, by id; findings that nothing explains get
// their own id. REQUIRES: ids are set.
void LinkRootCauses(const Geometry& geometry, std::vector<Finding>& findings);

}  // namespace qcow2::checker

#endif  // CHECKER_ROOT_CAUSE_H_
