#include "engine/format/bitmap_table_entry.h"

namespace qcow2 {

uint32_t BitmapTableEntryIssues(BitmapTableEntry entry,
                                const Geometry& geometry) {
  uint32_t issues = 0;
  if (entry.reserved_bits() != 0) issues |= kBitmapTableReservedBitsSet;
  if (!geometry.IsAligned(entry.offset().value())) {
    issues |= kBitmapTableOffsetUnaligned;
  }
  return issues;
}

}  // namespace qcow2
