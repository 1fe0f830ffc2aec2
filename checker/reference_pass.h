// Pass: counts who refers to which host cluster.
//
// Collects into a ReferenceMap: every metadata region of the model, every L2
// table and what its entries name. Judges each L2 entry by itself (rows 5xx)
// and tables overwritten as a whole. What COPIED should be and whether owners
// overlap is decided later, from the finished map.
#ifndef CHECKER_REFERENCE_PASS_H_
#define CHECKER_REFERENCE_PASS_H_

#include <span>
#include <vector>

#include "checker/check_state.h"
#include "checker/l2_tables.h"
#include "checker/reference_map.h"

namespace qcow2::checker {

// What the pass learns besides the map.
struct ReferencePassResult {
  // Indexes of active L2 tables that hold nothing but zeros.
  std::vector<uint32_t> empty_active_tables;
};

// Walks `tables` and adds all references that fall into `map`. `report`: also
// judges entries and counts allocated clusters; set in the first pass only
// when a memory limit makes several of them.
ReferencePassResult RunReferencePass(CheckState& state,
                                     std::span<const L2Table> tables,
                                     bool report, ReferenceMap& map);

}  // namespace qcow2::checker

#endif  // CHECKER_REFERENCE_PASS_H_
