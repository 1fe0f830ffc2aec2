// How mended L2 entries are told: what an entry said before and what it says
// after, and which guest ranges read otherwise.
//
// Adds to the plan; reads nothing.
#ifndef REPAIR_L2_ENTRY_WORDS_H_
#define REPAIR_L2_ENTRY_WORDS_H_

#include <cstdint>
#include <span>

#include "checker/graph.h"
#include "repair/l2_entry_mender.h"
#include "repair/plan.h"
#include "repair/table_users.h"

namespace qcow2::repair {

// An entry of a table, as it was and as it is going to be.
struct MendedEntry {
  uint64_t index = 0;
  L2Entry before;
  L2Mending mending;
};

// Adds the edits of `entries`, ascending, of `table`; neighbours that are
// mended alike as one.
void AddL2Edits(const checker::ImageModel& model, const checker::L2Table& table,
                std::span<const MendedEntry> entries, Plan& plan);

// Adds the guest ranges that read otherwise, for each entry that names the
// table.
void AddL2GuestChanges(const checker::ImageModel& model,
                       std::span<const MendedEntry> entries,
                       std::span<const L1Place> users, Plan& plan);

}  // namespace qcow2::repair

#endif  // REPAIR_L2_ENTRY_WORDS_H_
