#include "checker/l2_shape.h"

#include <algorithm>

#include "engine/format/byte_order.h"
#include "engine/format/l2_entry.h"
#include "engine/format/refcount_block.h"

namespace qcow2::checker {
namespace {

struct EntryCounts {
  uint64_t in_order = 0;
  uint64_t damaged = 0;
};

EntryCounts CountEntries(std::span<const std::byte> table,
                         const Geometry& geometry, const L2ScanRules& rules) {
  EntryCounts counts;
  const uint64_t stride = geometry.l2_entry_size();
  for (uint64_t at = 0; at + stride <= table.size(); at += stride) {
    const L2Entry entry = L2Entry::Decode(table.data() + at, geometry);
    if (entry.raw() == 0 && entry.bitmap() == 0) continue;
    const uint32_t version = rules.zero_flag_allowed ? 3 : 2;
    const uint64_t offset = entry.is_compressed()
                                ? entry.compressed(geometry).offset.value()
                                : entry.host_offset().value();
    const bool damaged =
        L2EntryIssues(entry, geometry, geometry.extended_l2() ? 3 : version,
                      rules.external_data_file) != 0 ||
        offset >= rules.file_end_bytes ||
        // Data never lies in the header's cluster.
        (offset != 0 && offset < geometry.cluster_size() &&
         !rules.external_data_file);
    ++(damaged ? counts.damaged : counts.in_order);
  }
  return counts;
}

// Refcount blocks of real images hold small counts and not only zeros.
bool HoldsSmallRefcounts(std::span<const std::byte> table,
                         const Geometry& geometry) {
  // Sub-byte counts can be any bytes: nothing to tell them by.
  if (geometry.refcount_order() < 4) return false;
  constexpr uint64_t kSmall = 255;
  const uint64_t entries = RefcountsIn(table.size(), geometry.refcount_order());
  uint64_t used = 0;
  for (uint64_t i = 0; i < entries; ++i) {
    const uint64_t count = GetRefcount(table, geometry.refcount_order(), i);
    if (count > kSmall) return false;
    if (count > 0) ++used;
  }
  return used > 0;
}

}  // namespace

TableShape ShapeOf(std::span<const std::byte> table, const Geometry& geometry,
                   const L2ScanRules& rules, uint64_t* entries) {
  const EntryCounts counts = CountEntries(table, geometry, rules);
  if (entries != nullptr) *entries = counts.in_order;
  if (counts.in_order + counts.damaged == 0) return TableShape::kEmpty;
  if (counts.in_order > counts.damaged) return TableShape::kL2Table;
  if (HoldsSmallRefcounts(table, geometry)) return TableShape::kRefcountBlock;
  return TableShape::kOtherData;
}

}  // namespace qcow2::checker
