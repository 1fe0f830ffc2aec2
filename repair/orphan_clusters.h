// Clusters that are counted more often than anything reaches them: what a
// damaged entry may have named before it was damaged.
//
// Reads only.
#ifndef REPAIR_ORPHAN_CLUSTERS_H_
#define REPAIR_ORPHAN_CLUSTERS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "checker/graph.h"
#include "checker/l2_scan.h"
#include "checker/report.h"
#include "engine/storage/file.h"
#include "repair/stored_refcounts.h"

namespace qcow2::repair {

class OrphanClusters {
 public:
  // All must outlive the object; `graph` is of `view`, with a map, and
  // `report` came with it.
  OrphanClusters(const checker::Graph& graph,
                 const checker::CheckReport& report, const File& view);

  // Whether there can be any at all. Not in a file that was cut off: there
  // counts are too high because tables are gone, not because a bit is wrong.
  bool any() const { return any_; }

  // How often the cluster is counted beyond the references to it, those `own`
  // of an entry in question left out; 0 where that is not known, past the end
  // of the file, and for clusters that belong to a metadata structure.
  uint64_t Excess(uint64_t cluster, uint64_t own_references = 0);

  // How often the cluster is referred to beyond its count; 0 where that is not
  // known.
  uint64_t Shortage(uint64_t cluster);

  // Whether the cluster at `offset` (bytes) is counted once more than it is
  // named, and an L2 table: either it is in use as one, or it is reached by
  // nobody, shaped like one, and some of the clusters it names are orphans, too
  // (unless it names none).
  bool IsOrphanL2Table(uint64_t offset);

  // The offset (bytes) of the one L2 table that was lost: it is reached by
  // nobody, and with what it names it accounts for every leaked cluster there
  // is. All it names is an orphan, too, but for the cluster at
  // `mistaken_offset`, which an entry wrongly takes for a table.
  std::optional<uint64_t> SoleLostTable(uint64_t mistaken_offset);

 private:
  bool IsCutOff(const checker::CheckReport& report);
  bool IsShapedLikeOrphanTable(uint64_t cluster);
  bool IsTableInUse(uint64_t offset) const;
  // Adds the clusters that the table in bytes_ names to `clusters`; false if
  // there is one among them, but for `mistaken`, that is no orphan.
  bool CollectOrphans(uint64_t mistaken,
                      absl::flat_hash_set<uint64_t>& clusters);

  const checker::Graph& graph_;
  const checker::CheckReport& report_;
  const File& view_;
  const checker::L2ScanRules rules_;
  StoredRefcounts stored_;
  bool any_ = false;
  // What the clusters looked at turned out to be.
  absl::flat_hash_map<uint64_t, bool> shapes_;
  std::vector<std::byte> bytes_;
};

}  // namespace qcow2::repair

#endif  // REPAIR_ORPHAN_CLUSTERS_H_
