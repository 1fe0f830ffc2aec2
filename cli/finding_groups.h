// Findings in the order people read them: by problem, the most severe first,
// and below each what follows from it.
//
// Pure, no I/O.
#ifndef CLI_FINDING_GROUPS_H_
#define CLI_FINDING_GROUPS_H_

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "checker/problems.h"
#include "checker/report.h"

namespace qcow2::cli {

// Findings of one problem that no other finding explains.
struct FindingGroup {
  const checker::ProblemRow* row;
  std::vector<const checker::Finding*> findings;
};

using Consequences =
    std::unordered_map<uint32_t, std::vector<const checker::Finding*>>;

// The findings sorted into what stands on its own and what follows from it.
struct FindingArrangement {
  std::vector<FindingGroup>
      groups;                 // the most severe first, else as in the report
  Consequences consequences;  // by the id of their cause
};

// Arranges the findings of `report`, which must outlive the result.
FindingArrangement ArrangeFindings(const checker::CheckReport& report);

}  // namespace qcow2::cli

#endif  // CLI_FINDING_GROUPS_H_
