#include "engine/image/refcounts.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/format/byte_order.h"
#include "engine/format/refcount_block.h"
#include "engine/format/refcount_table_entry.h"
#include "engine/status_macros.h"

namespace qcow2 {
Refcounts::Refcounts(File& file, HeaderStore& header, const Geometry& geometry,
                     size_t cache_tables)
    : file_(file),
      header_(header),
      geometry_(geometry),
      cache_(file, "refcount block", geometry.cluster_size(), cache_tables) {}

absl::StatusOr<std::unique_ptr<Refcounts>> Refcounts::Load(
    File& file, HeaderStore& header, const Geometry& geometry,
    size_t cache_tables) {
  std::unique_ptr<Refcounts> refcounts(
      new Refcounts(file, header, geometry, cache_tables));
  const uint64_t offset = header.header().refcount_table_offset.value();
  std::vector<std::byte> bytes(
      uint64_t{header.header().refcount_table_clusters} *
      geometry.cluster_size());
  RETURN_IF_ERROR(ReadZeroFilled(file, offset, bytes));
  refcounts->table_.resize(bytes.size() / kRefcountTableEntrySize);
  for (uint64_t i = 0; i < refcounts->table_.size(); ++i) {
    const RefcountTableEntry entry =
        RefcountTableEntry::Decode(bytes.data() + i * kRefcountTableEntrySize);
    if (RefcountTableEntryIssues(entry, geometry) != 0 ||
        entry.block_offset().value() >= kMaxHostOffset) {
      return absl::DataLossError(
          absl::StrCat(file.name(), ": refcount table at 0x", absl::Hex(offset),
                       ", entry ", i, " is 0x", absl::Hex(entry.raw()),
                       ", which is no refcount block's offset"));
    }
    refcounts->table_[i] = entry.block_offset().value();
  }
  return refcounts;
}

ClusterRun Refcounts::table_run() const {
  return {geometry_.ClusterOf(header_.header().refcount_table_offset),
          header_.header().refcount_table_clusters};
}

absl::StatusOr<CachedTable*> Refcounts::Block(uint64_t region) {
  return cache_.Get(HostOffset(table_[region]));
}

absl::StatusOr<uint64_t> Refcounts::Get(HostCluster cluster) {
  const uint64_t region = RegionOf(cluster);
  if (!HasBlock(region)) return 0;
  ASSIGN_OR_RETURN(CachedTable * block, Block(region));
  return GetRefcount(block->bytes, geometry_.refcount_order(),
                     cluster.value() % geometry_.refcount_block_entries());
}

absl::Status Refcounts::Add(ClusterRun run) {
  for (uint64_t i = 0; i < run.clusters; ++i) {
    ASSIGN_OR_RETURN(const uint64_t count, Get(run.first + i));
    if (count < geometry_.refcount_max()) continue;
    return absl::OutOfRangeError(
        absl::StrCat(file_.name(), ": host cluster ", (run.first + i).value(),
                     " has ", count, " references, and refcounts of ",
                     geometry_.refcount_bits(), " bits cannot count one more"));
  }
  if (MissingBlocks(run) > 0) {
    return absl::DataLossError(
        absl::StrCat(file_.name(), ": host cluster ", run.first.value(),
                     " is in use, but no refcount block counts it"));
  }
  for (uint64_t i = 0; i < run.clusters; ++i) {
    const HostCluster cluster = run.first + i;
    ASSIGN_OR_RETURN(CachedTable * block, Block(RegionOf(cluster)));
    const uint64_t index = cluster.value() % geometry_.refcount_block_entries();
    SetRefcount(
        block->bytes, geometry_.refcount_order(), index,
        GetRefcount(block->bytes, geometry_.refcount_order(), index) + 1);
    cache_.MarkDirty(block);
  }
  return absl::OkStatus();
}

absl::Status Refcounts::Subtract(
    ClusterRun run, const std::function<void(ClusterRun)>& on_free) {
  for (uint64_t i = 0; i < run.clusters; ++i) {
    ASSIGN_OR_RETURN(const uint64_t count, Get(run.first + i));
    if (count > 0) continue;
    return absl::DataLossError(
        absl::StrCat(file_.name(), ": host cluster ", (run.first + i).value(),
                     " is given back, but its refcount is 0 already"));
  }
  ClusterRun freed;
  for (uint64_t i = 0; i < run.clusters; ++i) {
    const HostCluster cluster = run.first + i;
    ASSIGN_OR_RETURN(CachedTable * block, Block(RegionOf(cluster)));
    const uint64_t index = cluster.value() % geometry_.refcount_block_entries();
    const uint64_t count =
        GetRefcount(block->bytes, geometry_.refcount_order(), index) - 1;
    SetRefcount(block->bytes, geometry_.refcount_order(), index, count);
    cache_.MarkDirty(block);
    if (count > 0) continue;
    free_hint_ = std::min(free_hint_, cluster);
    if (freed.first + freed.clusters != cluster) {
      if (freed.clusters > 0) on_free(freed);
      freed = {cluster, 0};
    }
    ++freed.clusters;
  }
  if (freed.clusters > 0) on_free(freed);
  return absl::OkStatus();
}

absl::Status Refcounts::SetOnes(ClusterRun run) {
  for (uint64_t i = 0; i < run.clusters; ++i) {
    const HostCluster cluster = run.first + i;
    ASSIGN_OR_RETURN(CachedTable * block, Block(RegionOf(cluster)));
    SetRefcount(block->bytes, geometry_.refcount_order(),
                cluster.value() % geometry_.refcount_block_entries(), 1);
    cache_.MarkDirty(block);
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Refcounts::FreeFrom(HostCluster from, uint64_t most) {
  uint64_t free = 0;
  while (free < most) {
    const HostCluster cluster = from + free;
    const uint64_t region = RegionOf(cluster);
    const uint64_t index = cluster.value() % geometry_.refcount_block_entries();
    if (!HasBlock(region)) {
      free += geometry_.refcount_block_entries() - index;
      continue;
    }
    ASSIGN_OR_RETURN(CachedTable * block, Block(region));
    if (GetRefcount(block->bytes, geometry_.refcount_order(), index) != 0) {
      return free;
    }
    ++free;
  }
  return most;
}

absl::StatusOr<HostCluster> Refcounts::FindFree(HostCluster from,
                                                uint64_t clusters) {
  while (true) {
    ASSIGN_OR_RETURN(const uint64_t free, FreeFrom(from, clusters));
    if (free == clusters) return from;
    // The one behind the free ones is in use.
    from += free + 1;
  }
}

void Refcounts::NoteAllocated(ClusterRun run) {
  if (run.first == free_hint_) free_hint_ += run.clusters;
}

absl::StatusOr<HostCluster> Refcounts::FindRoom(uint64_t clusters) {
  // The header's cluster is never free, whatever a damaged image counts.
  free_hint_ = std::max(free_hint_, HostCluster(1));
  ASSIGN_OR_RETURN(free_hint_, FindFree(free_hint_, 1));
  HostCluster at = free_hint_;
  while (true) {
    ASSIGN_OR_RETURN(at, FindFree(at, clusters));
    if (MissingBlocks({at, clusters}) == 0) return at;
    ASSIGN_OR_RETURN(const Room room, RoomFor({at, clusters}));
    const ClusterRun all{at, room.clusters() + clusters};
    ASSIGN_OR_RETURN(const uint64_t free, FreeFrom(at, all.clusters));
    if (free == all.clusters) {
      RETURN_IF_ERROR(PlaceRoom(all, room));
      NoteAllocated({at, room.clusters()});
      return at + room.clusters();
    }
    at += free + 1;
  }
}

absl::StatusOr<HostCluster> Refcounts::Allocate(uint64_t clusters) {
  ASSIGN_OR_RETURN(const HostCluster at, FindRoom(clusters));
  RETURN_IF_ERROR(SetOnes({at, clusters}));
  NoteAllocated({at, clusters});
  return at;
}

absl::StatusOr<ClusterRun> Refcounts::AllocateUpTo(uint64_t most,
                                                   HostCluster wish) {
  HostCluster at = wish;
  uint64_t free = 0;
  if (wish.value() != 0 && HasBlock(RegionOf(wish))) {
    ASSIGN_OR_RETURN(free, FreeFrom(wish, most));
  }
  if (free == 0) {
    ASSIGN_OR_RETURN(at, FindRoom(1));
    ASSIGN_OR_RETURN(free, FreeFrom(at, most));
  }
  // A region without a block gets one when it is used: not further.
  ClusterRun run{at, 0};
  while (run.clusters < free && HasBlock(RegionOf(at + run.clusters))) {
    ++run.clusters;
  }
  RETURN_IF_ERROR(SetOnes(run));
  NoteAllocated(run);
  return run;
}

uint64_t Refcounts::MissingBlocks(ClusterRun run) const {
  uint64_t missing = 0;
  const uint64_t last = RegionOf(run.first + run.clusters - 1);
  for (uint64_t region = RegionOf(run.first); region <= last; ++region) {
    missing += HasBlock(region) ? 0 : 1;
  }
  return missing;
}

absl::StatusOr<uint64_t> Refcounts::TableClustersFor(uint64_t regions) const {
  if (regions > kMaxRefcountTableBytes / kRefcountTableEntrySize) {
    return absl::ResourceExhaustedError(
        absl::StrCat(file_.name(),
                     ": the file cannot grow: its refcount table would exceed ",
                     kMaxRefcountTableBytes, " bytes"));
  }
  // Half as many again, so that growing stays rare.
  const uint64_t bytes =
      std::min((regions + regions / 2 + 1) * kRefcountTableEntrySize,
               kMaxRefcountTableBytes);
  return geometry_.ClustersFor(bytes);
}

absl::StatusOr<Refcounts::Room> Refcounts::RoomFor(ClusterRun run) const {
  // Blocks and table take clusters themselves, which may ask for more blocks.
  Room room;
  while (true) {
    const ClusterRun all{run.first, run.clusters + room.clusters()};
    const uint64_t regions = RegionOf(all.first + all.clusters - 1) + 1;
    Room needed{0, MissingBlocks(all)};
    if (regions > table_.size()) {
      ASSIGN_OR_RETURN(needed.table_clusters, TableClustersFor(regions));
    }
    if (needed.table_clusters <= room.table_clusters &&
        needed.blocks <= room.blocks) {
      return room;
    }
    room.table_clusters = std::max(room.table_clusters, needed.table_clusters);
    room.blocks = std::max(room.blocks, needed.blocks);
  }
}

absl::Status Refcounts::PlaceRoom(ClusterRun run, const Room& room) {
  const std::vector<uint64_t> table_before = table_;
  const uint64_t last_region = RegionOf(run.first + run.clusters - 1);
  if (last_region >= table_.size()) {
    table_.resize(room.table_clusters * geometry_.cluster_size() /
                  kRefcountTableEntrySize);
  }
  std::vector<HostOffset> blocks;
  for (uint64_t region = RegionOf(run.first); region <= last_region; ++region) {
    if (HasBlock(region)) continue;
    blocks.push_back(
        geometry_.OffsetOf(run.first + room.table_clusters + blocks.size()));
    cache_.Create(blocks.back());
    SetTableEntry(region, blocks.back());
  }
  absl::Status status = SetOnes({run.first, room.clusters()});
  if (status.ok() && room.table_clusters > 0) {
    status = MoveTable(run.first, room.table_clusters);
  }
  if (!status.ok()) {
    // What was counted in older blocks stays so: at worst a leak.
    table_ = table_before;
    table_dirty_end_ = std::min<uint64_t>(table_dirty_end_, table_.size());
    for (HostOffset block : blocks) cache_.Forget(block);
    return status;
  }
  if (listener_.new_block) {
    for (HostOffset block : blocks) listener_.new_block(block);
  }
  return absl::OkStatus();
}

void Refcounts::SetTableEntry(uint64_t region, HostOffset block) {
  table_[region] = block.value();
  if (!table_dirty()) table_dirty_begin_ = table_dirty_end_ = region;
  table_dirty_begin_ = std::min(table_dirty_begin_, region);
  table_dirty_end_ = std::max(table_dirty_end_, region + 1);
}

absl::Status Refcounts::MoveTable(HostCluster to, uint64_t clusters) {
  const auto anywhere = [](HostOffset) { return absl::OkStatus(); };
  RETURN_IF_ERROR(cache_.WriteDirty(anywhere));
  std::vector<std::byte> bytes(clusters * geometry_.cluster_size());
  for (uint64_t i = 0; i < table_.size(); ++i) {
    StoreBe64(bytes.data() + i * kRefcountTableEntrySize, table_[i]);
  }
  RETURN_IF_ERROR(file_.Pwrite(geometry_.OffsetOf(to).value(), bytes));
  const ClusterRun before = table_run();
  HeaderArea next = header_.area();
  next.header.refcount_table_offset = geometry_.OffsetOf(to);
  next.header.refcount_table_clusters = static_cast<uint32_t>(clusters);
  RETURN_IF_ERROR(header_.Switch(std::move(next)));
  table_dirty_begin_ = table_dirty_end_ = 0;
  if (listener_.table_moved) listener_.table_moved(before, {to, clusters});
  return absl::OkStatus();
}

absl::Status Refcounts::Write(
    const std::function<absl::Status(HostOffset)>& guard) {
  RETURN_IF_ERROR(cache_.WriteDirty(guard));
  if (!table_dirty()) return absl::OkStatus();
  RETURN_IF_ERROR(file_.Flush());
  std::vector<std::byte> bytes((table_dirty_end_ - table_dirty_begin_) *
                               kRefcountTableEntrySize);
  for (uint64_t i = table_dirty_begin_; i < table_dirty_end_; ++i) {
    StoreBe64(bytes.data() + (i - table_dirty_begin_) * kRefcountTableEntrySize,
              table_[i]);
  }
  RETURN_IF_ERROR(file_.Pwrite(header_.header().refcount_table_offset.value() +
                                   table_dirty_begin_ * kRefcountTableEntrySize,
                               bytes));
  table_dirty_begin_ = table_dirty_end_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<HostCluster> Refcounts::EndOfCounted() {
  for (uint64_t region = table_.size(); region > 0; --region) {
    if (!HasBlock(region - 1)) continue;
    ASSIGN_OR_RETURN(CachedTable * block, Block(region - 1));
    const uint64_t entries = geometry_.refcount_block_entries();
    for (uint64_t i = entries; i > 0; --i) {
      if (GetRefcount(block->bytes, geometry_.refcount_order(), i - 1) != 0) {
        return HostCluster((region - 1) * entries + i);
      }
    }
  }
  return HostCluster(0);
}

}  // namespace qcow2
