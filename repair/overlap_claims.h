// Who shares host clusters with whom, completely: what has to be known to give
// every owner clusters of its own.
//
// Reads the view. Memory is bounded: where more is shared than any accident
// explains, it is left out, and `left_out` says so.
#ifndef REPAIR_OVERLAP_CLAIMS_H_
#define REPAIR_OVERLAP_CLAIMS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "repair/repair_context.h"
#include "repair/table_places.h"

namespace qcow2::repair {

// A metadata structure, other than a refcount structure, that has a part in a
// shared cluster. It can only be moved as a whole.
struct SharingUnit {
  uint32_t owner = 0;  // one checker::Owner bit
  // The snapshot or bitmap.
  uint64_t index = 0;
  // Of bitmap data: the entry of the bitmap's table that names it.
  uint64_t table_entry = 0;
  // Of an L2 table: index into Graph::l2_tables.
  uint32_t l2_table = 0;
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  // Whole and readable, so that it can be copied.
  bool movable = true;
};

// What the guest's entries say of one shared cluster.
struct GuestClaim {
  // Clusters that entries which touch this one reach, first to last:
  // compressed data may begin before it and end behind it.
  uint64_t first_cluster = 0;
  uint64_t last_cluster = 0;
  bool compressed = false;
  uint64_t entries = 0;
  // The first of the entries.
  uint32_t l2_table = 0;
  uint32_t l2_entry = 0;
  bool readable = true;
};

// Entry `l1_index` of an L1 table names an L2 table that an earlier entry of
// the same table names.
struct RepeatedL2Table {
  uint32_t l2_table = 0;
  uint64_t l1_index = 0;

  friend auto operator<=>(const RepeatedL2Table&,
                          const RepeatedL2Table&) = default;
};

struct OverlapClaims {
  // Clusters with a metadata owner and a second one, ascending. Refcount
  // structures are among the owners, but not among the units below.
  std::vector<uint64_t> clusters;
  std::vector<SharingUnit> units;
  // By cluster.
  std::map<uint64_t, GuestClaim> guest;
  // By index into Graph::l2_tables: an entry of it is in `guest`.
  std::vector<bool> names_shared_cluster;
  // With the first L1 table (index into ImageModel::l1_tables) it is true of.
  std::map<RepeatedL2Table, uint32_t> repeated;
  EntryPlaces snapshots;
  EntryPlaces bitmaps;
  // What is not here, and why; empty if all is.
  std::string left_out;

  bool empty() const { return clusters.empty() && repeated.empty(); }
  // The shared clusters among those of [offset, offset + length), as indexes
  // [first, second) into `clusters`.
  std::pair<size_t, size_t> SharedIn(uint64_t offset_bytes,
                                     uint64_t length_bytes,
                                     uint32_t cluster_bits) const;
};

// REQUIRES: context.graph has a map.
absl::StatusOr<OverlapClaims> CollectOverlapClaims(
    const RepairContext& context);

}  // namespace qcow2::repair

#endif  // REPAIR_OVERLAP_CLAIMS_H_
