// The distinct L2 tables of an image, collected from all L1 tables.
//
// A table that k L1 entries name is listed once with weight k, so that what a
// check costs follows the number of tables, not tables times snapshots.
#ifndef CHECKER_L2_TABLES_H_
#define CHECKER_L2_TABLES_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "checker/check_state.h"
#include "checker/l2_scan.h"
#include "checker/reference_map.h"
#include "engine/format/l1_entry.h"

namespace qcow2::checker {

// One distinct L2 table.
struct L2Table {
  uint64_t offset_bytes = 0;
  // L1 entries that name it: in all, and of active L1 tables.
  uint64_t references = 0;
  uint32_t active_references = 0;
  // How the active entries name it: kReferenceCopied, kReferenceNotCopied.
  uint32_t flags = 0;
  // The first entry that names it, an active one if there is any: index into
  // ImageModel::l1_tables and into that table.
  uint32_t l1_table = 0;
  uint32_t l1_index = 0;

  bool active() const { return active_references > 0; }
};

// Reads all L1 tables of state.model and judges their entries (rows 4xx but
// for COPIED). Returns the L2 tables that can be read, by ascending offset.
// With options.qemu_compatible also those qemu-img follows although the entry
// is unaligned or names cluster 0. Sets model.references_incomplete where an
// entry could not be followed.
std::vector<L2Table> CollectL2Tables(CheckState& state);

// Calls `visit(index, entry)` for every entry of an L1 table that is not zero.
// What cannot be read or lies past the end of the file is zeros.
void ForEachL1Entry(const CheckState& state, const L1Table& table,
                    const std::function<void(uint64_t, L1Entry)>& visit);

// The rules for scanning the L2 tables of this image.
L2ScanRules ScanRulesOf(const ImageModel& model);
inline L2ScanRules ScanRulesOf(const CheckState& state) {
  return ScanRulesOf(state.model);
}

// The structure an entry of `table` is reported in, and the snapshot.
Location LocationOf(const ImageModel& model, const L2Table& table,
                    uint64_t entry_index);

// The guest range of `entries` entries of `table` from `first_entry` on, cut
// at the end of the disk unless it is VM state.
GuestRange GuestRangeOf(const ImageModel& model, const L2Table& table,
                        uint64_t first_entry, uint64_t entries);

}  // namespace qcow2::checker

#endif  // CHECKER_L2_TABLES_H_
