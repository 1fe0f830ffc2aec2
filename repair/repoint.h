// Making the image name structures and guest data where they were copied to.
//
// Writes only the words that hold a place; everything else in their tables
// stays as it is.
#ifndef REPAIR_REPOINT_H_
#define REPAIR_REPOINT_H_

#include <cstdint>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "checker/graph.h"
#include "engine/storage/file.h"
#include "repair/overlap_claims.h"

namespace qcow2::repair {

// What was copied, and the host offset (bytes) of the copy.
struct Relocations {
  // What the header and its extensions name, by owner.
  std::map<uint32_t, uint64_t> named_by_header;
  // By index of the snapshot and of the bitmap.
  std::map<uint64_t, uint64_t> snapshot_l1_tables;
  std::map<uint64_t, uint64_t> bitmap_tables;
  // By index of the bitmap and entry of its table.
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> bitmap_data;
  // By index into Graph::l2_tables.
  std::map<uint32_t, uint64_t> l2_tables;
  std::map<RepeatedL2Table, uint64_t> repeated_l2_tables;
  // By the cluster that guest data leaves: what is added to the offsets of all
  // entries that touch it, modulo 2^64.
  absl::flat_hash_map<uint64_t, uint64_t> guest_shifts;
};

// Re-points everything. `graph` and `claims` are of the view as it was before
// the copies were made; the copies hold the bytes that the originals had then.
absl::Status Repoint(const checker::Graph& graph, const OverlapClaims& claims,
                     const Relocations& moved, File& view);

}  // namespace qcow2::repair

#endif  // REPAIR_REPOINT_H_
