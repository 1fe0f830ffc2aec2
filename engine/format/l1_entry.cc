#include "engine/format/l1_entry.h"

namespace qcow2 {

uint32_t L1EntryIssues(L1Entry entry, const Geometry& geometry) {
  uint32_t issues = 0;
  if (entry.reserved_bits() != 0) issues |= kL1ReservedBitsSet;
  if (!geometry.IsAligned(entry.l2_offset().value())) {
    issues |= kL1OffsetUnaligned;
  }
  if (entry.copied() && !entry.has_l2_table()) issues |= kL1CopiedWithoutTable;
  return issues;
}

}  // namespace qcow2
