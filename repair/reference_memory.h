// How much memory a repair may take for counting references.
//
// In memory only.
#ifndef REPAIR_REFERENCE_MEMORY_H_
#define REPAIR_REFERENCE_MEMORY_H_

#include "absl/status/status.h"
#include "checker/check.h"
#include "checker/report.h"

namespace qcow2::repair {

// kResourceExhausted, with what to do, if the check that gave `report` could
// not hold all references at once within `check.memory_limit_bytes`.
absl::Status CheckReferencesFit(const checker::CheckReport& report,
                                const checker::CheckOptions& check);

}  // namespace qcow2::repair

#endif  // REPAIR_REFERENCE_MEMORY_H_
