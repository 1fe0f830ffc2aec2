#include "engine/format/refcount_table_entry.h"

namespace qcow2 {

uint32_t RefcountTableEntryIssues(RefcountTableEntry entry,
                                  const Geometry& geometry) {
  uint32_t issues = 0;
  if (entry.reserved_bits() != 0) issues |= kRefcountTableReservedBitsSet;
  if (!geometry.IsAligned(entry.block_offset().value())) {
    issues |= kRefcountTableOffsetUnaligned;
  }
  return issues;
}

}  // namespace qcow2
