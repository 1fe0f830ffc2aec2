// Refcounts: the counts of an open image's host clusters, and which clusters
// are free.
//
// Keeps the refcount table in memory and its blocks in a cache. Writes blocks,
// the table and (when the table moves) the header; changed blocks may be
// written at any time, because counts are only ever raised ahead of the
// reference and lowered after it is gone: see Metadata.
#ifndef ENGINE_IMAGE_REFCOUNTS_H_
#define ENGINE_IMAGE_REFCOUNTS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/format/geometry.h"
#include "engine/format/types.h"
#include "engine/image/cluster_cache.h"
#include "engine/image/header_store.h"
#include "engine/storage/file.h"

namespace qcow2 {

// A stretch of neighbouring host clusters.
struct ClusterRun {
  HostCluster first;
  uint64_t clusters = 0;

  friend bool operator==(const ClusterRun&, const ClusterRun&) = default;
};

class Refcounts {
 public:
  // Reads the refcount table that `header` names. `cache_tables` is how many
  // blocks are kept. Both `file` and `header` must outlive it. Errors of
  // reading; DataLoss for an entry that cannot be a block's offset.
  static absl::StatusOr<std::unique_ptr<Refcounts>> Load(
      File& file, HeaderStore& header, const Geometry& geometry,
      size_t cache_tables);

  // How often `cluster` is counted.
  absl::StatusOr<uint64_t> Get(HostCluster cluster);
  // Counts every cluster of `run` once more. OutOfRange, with nothing changed,
  // where a count would no longer fit its width.
  absl::Status Add(ClusterRun run);
  // Counts every cluster of `run`, which lies in one refcount block, once less.
  // DataLoss where a count is 0 already; with an error nothing has changed.
  // `on_free` hears of those that reach 0.
  absl::Status Subtract(ClusterRun run,
                        const std::function<void(ClusterRun)>& on_free);

  // The first `clusters` neighbouring clusters that nobody counts, now counted
  // once. Makes the blocks (and the larger table) that takes.
  absl::StatusOr<HostCluster> Allocate(uint64_t clusters);
  // Up to `most` neighbouring free clusters, at least 1, now counted once:
  // those after `wish` if that is free, else the first free ones.
  absl::StatusOr<ClusterRun> AllocateUpTo(uint64_t most, HostCluster wish);

  // Whether anything is not written yet.
  bool dirty() const { return cache_.dirty_count() > 0 || table_dirty(); }
  size_t dirty_blocks() const { return cache_.dirty_count(); }
  // Writes changed blocks, and after a flush the table's entries for new ones.
  // `guard` is asked before each block is written.
  absl::Status Write(const std::function<absl::Status(HostOffset)>& guard);

  ClusterCache& cache() { return cache_; }
  // The table's place, and the blocks it names (0 where there is none).
  ClusterRun table_run() const;
  const std::vector<uint64_t>& table() const { return table_; }
  // Called with the clusters of each block and table that is new, and of each
  // table that was given up.
  struct Listener {
    std::function<void(HostOffset)> new_block;
    std::function<void(ClusterRun before, ClusterRun after)> table_moved;
  };
  void set_listener(Listener listener) { listener_ = std::move(listener); }
  // Clusters from here on lie behind every counted one that was seen: the
  // smallest file that holds them all ends here.
  absl::StatusOr<HostCluster> EndOfCounted();

 private:
  Refcounts(File& file, HeaderStore& header, const Geometry& geometry,
            size_t cache_tables);

  bool table_dirty() const { return table_dirty_begin_ < table_dirty_end_; }
  uint64_t RegionOf(HostCluster cluster) const {
    return cluster.value() >> geometry_.refcount_block_bits();
  }
  bool HasBlock(uint64_t region) const {
    return region < table_.size() && table_[region] != 0;
  }
  absl::StatusOr<CachedTable*> Block(uint64_t region);
  // What has to be put in front of a run so that all of it is counted.
  struct Room {
    uint64_t table_clusters = 0;  // of a larger refcount table
    uint64_t blocks = 0;
    uint64_t clusters() const { return table_clusters + blocks; }
  };
  uint64_t MissingBlocks(ClusterRun run) const;
  absl::StatusOr<uint64_t> TableClustersFor(uint64_t regions) const;
  absl::StatusOr<Room> RoomFor(ClusterRun run) const;
  // Puts table and blocks at `run`'s start, for `run` and themselves.
  absl::Status PlaceRoom(ClusterRun run, const Room& room);
  // A run of free clusters, all of which have a block.
  absl::StatusOr<HostCluster> FindRoom(uint64_t clusters);
  absl::Status MoveTable(HostCluster to, uint64_t clusters);
  void SetTableEntry(uint64_t region, HostOffset block);
  absl::Status SetOnes(ClusterRun run);
  // The longest run of free clusters from `from` on, up to `most`; those of
  // regions without a block are free.
  absl::StatusOr<uint64_t> FreeFrom(HostCluster from, uint64_t most);
  absl::StatusOr<HostCluster> FindFree(HostCluster from, uint64_t clusters);
  void NoteAllocated(ClusterRun run);

  File& file_;
  HeaderStore& header_;
  const Geometry geometry_;
  ClusterCache cache_;
  std::vector<uint64_t> table_;  // host offsets of blocks
  // Entries that differ from the file's.
  uint64_t table_dirty_begin_ = 0;
  uint64_t table_dirty_end_ = 0;
  // No cluster below is free.
  HostCluster free_hint_;
  Listener listener_;
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_REFCOUNTS_H_
