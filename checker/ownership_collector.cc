#include "checker/ownership_collector.h"

#include <algorithm>
#include <array>
#include <memory>
#include <tuple>
#include <utility>

#include "checker/ownership_runs.h"
#include "checker/ownership_visitors.h"
#include "checker/table_walk.h"

namespace qcow2::checker {
namespace {

// Around damage this many clusters are shown exactly, and this many from both
// ends of a long run of it.
constexpr uint64_t kExactAround = 16;
constexpr uint64_t kExactEnds = 64;
// Of all that is exact, in an image that is too large to be so everywhere.
constexpr uint64_t kMaxExactClusters = uint64_t{1} << 16;

// The smallest power of 2 that cuts `length` into kMaxBins stretches.
uint64_t BinLength(uint64_t length) {
  uint64_t bin = 1;
  while (length / bin >= OwnershipMap::kMaxBins) bin *= 2;
  return bin;
}

}  // namespace

OwnershipCollector::OwnershipCollector(CheckState& state, OwnershipMap& map)
    : state_(state), geometry_(*state.model.geometry), map_(map) {
  map_ = OwnershipMap();
  map_.cluster_size_bytes = geometry_.cluster_size();
  map_.file_clusters = state.model.FileClusters();
  map_.file_size_bytes = state.model.file_size_bytes;
  map_.guest_size_bytes = state.model.header.size;
  map_.external_data_file = state.model.external_data_file;
  map_.counts_known = !state.model.refcounts_unknown;
  map_.bin_clusters = BinLength(map_.file_clusters);
  map_.bins.resize(map_.file_clusters / map_.bin_clusters + 1);
  const uint64_t guest_clusters = geometry_.ClustersFor(map_.guest_size_bytes);
  map_.guest_bin_clusters = BinLength(guest_clusters);
  map_.guest_bins.resize(guest_clusters / map_.guest_bin_clusters + 1);
  other_.resize(map_.bins.size());
  other_seen_.resize(map_.bins.size());
}

void OwnershipCollector::AddWindow(const RefcountStructures& structures,
                                   const ComparePassResult& compared,
                                   const ReferenceMap& references) {
  CountData(references);
  for (const ClusterRun& run : compared.overlaps) {
    Mark({run.first_cluster, run.clusters, ClusterMark::kOverlap});
  }
  CompareCounts(structures, references);
}

void OwnershipCollector::CountData(const ReferenceMap& references) {
  constexpr uint64_t kChunk = ReferenceMap::kChunkClusters;
  const uint64_t end = std::min(references.end_cluster(), map_.file_clusters);
  for (const uint64_t chunk : references.ChunkIndexes()) {
    const uint64_t first = std::max(chunk * kChunk, references.first_cluster());
    const uint64_t stop = std::min((chunk + 1) * kChunk, end);
    if (first >= stop) continue;
    references.ForEachRun(
        first, stop, [&](uint64_t run, uint64_t count, const ReferenceCell& c) {
          if (c.count == 0 || (c.flags & kReferenceMetadata) != 0) return;
          if ((c.flags & (kReferenceCopied | kReferenceNotCopied)) == 0) {
            ForEachBin(other_, map_.bin_clusters, run, count,
                       [](uint64_t& bin, uint64_t part) { bin += part; });
            return;
          }
          constexpr auto kData = static_cast<size_t>(ClusterClass::kGuestData);
          ForEachBin(
              map_.bins, map_.bin_clusters, run, count,
              [](FileBin& bin, uint64_t part) { bin.clusters[kData] += part; });
        });
  }
}

void OwnershipCollector::CompareCounts(const RefcountStructures& structures,
                                       const ReferenceMap& references) {
  if (!map_.counts_known) return;
  const uint64_t entries = geometry_.refcount_block_entries();
  std::vector<const RefcountBlock*> blocks;
  for (const RefcountBlock& block : structures.blocks) {
    const uint64_t base = block.table_index * entries;
    if (base >= references.end_cluster() ||
        base + entries <= references.first_cluster()) {
      continue;
    }
    if (block.readable && !block.duplicate) {
      blocks.push_back(&block);
    } else if (!block.readable && !block.past_end && block.offset_bytes != 0) {
      const uint64_t first = std::max(base, references.first_cluster());
      Mark({first, std::min(base + entries, references.end_cluster()) - first,
            ClusterMark::kCountUnknown});
    }
  }
  state_.reader.Expect(blocks.size() * geometry_.cluster_size());
  std::sort(blocks.begin(), blocks.end(),
            [](const RefcountBlock* a, const RefcountBlock* b) {
              return a->offset_bytes < b->offset_bytes;
            });
  const std::vector<uint64_t> chunks = references.ChunkIndexes();
  TableWalk walk;
  walk.tables = blocks.size();
  walk.table_bytes = geometry_.cluster_size();
  walk.offset_of = [&](uint64_t index) { return blocks[index]->offset_bytes; };
  walk.make_visitor = [&] {
    return std::make_unique<CountVisitor>(*this, blocks, references, chunks);
  };
  WalkTables(state_, walk);
}

void OwnershipCollector::Mark(const MarkedRun& run) {
  ForEachBin(
      map_.bins, map_.bin_clusters, run.first_cluster,
      std::min(run.clusters, map_.file_clusters - std::min(map_.file_clusters,
                                                           run.first_cluster)),
      [&](FileBin& bin, uint64_t clusters) {
        switch (run.mark) {
          case ClusterMark::kLeaked:
            bin.clusters[static_cast<size_t>(ClusterClass::kLeaked)] +=
                clusters;
            break;
          case ClusterMark::kCountTooLow:
            bin.count_too_low += clusters;
            break;
          case ClusterMark::kOverlap:
            bin.overlapping += clusters;
            break;
          case ClusterMark::kCountTooHigh:
          case ClusterMark::kCountUnknown:
            break;
        }
      });
  if (map_.marks.size() < OwnershipMap::kMaxRuns) {
    map_.marks.push_back(run);
  } else {
    ++map_.marks_omitted;
  }
}

void OwnershipCollector::Finish(std::span<const L2Table> tables,
                                const RefcountStructures& structures) {
  ChooseExact();
  AddStructures(tables, structures);
  WalkL2Tables(tables);
  map_.cut_short = state_.reader.Cancelled();
  map_.complete = !sparse_ && !metadata_sparse_ && !map_.cut_short &&
                  map_.marks_omitted == 0;
  map_.all_metadata = !metadata_sparse_;
  if (map_.complete) {
    map_.exact.clear();
    map_.exact_omitted = false;
  }
  Sort();
  CompleteBins();
  NameDisks();
}

void OwnershipCollector::ChooseExact() {
  std::vector<ClusterRun> damaged;  // the guest's data in these is
  for (const MarkedRun& run : map_.marks) {
    if (run.mark == ClusterMark::kOverlap ||
        run.mark == ClusterMark::kCountTooLow) {
      damaged.push_back({run.first_cluster, run.clusters});
    }
  }
  std::vector<ClusterRun> wrong = damaged;
  for (const ProblemRow& row : AllProblems()) {
    if (row.severity != Severity::kCorruption) continue;
    for (const Finding& finding : state_.sink.FindingsOf(row.problem)) {
      if (!finding.host.has_value() || finding.host->clusters == 0) continue;
      wrong.push_back({finding.host->first_cluster, finding.host->clusters});
      if (EndangersGuestData(row.problem)) damaged.push_back(wrong.back());
    }
  }
  damaged_ = ClusterSet(std::move(damaged));
  MakeExact(wrong);
}

void OwnershipCollector::MakeExact(const std::vector<ClusterRun>& wrong) {
  std::vector<ClusterRun> wanted;
  const auto want = [&](uint64_t first, uint64_t end) {
    first -= std::min(first, kExactAround);
    end = std::min(end + kExactAround, map_.file_clusters);
    if (first < end) wanted.push_back({first, end - first});
  };
  want(0, 1);
  for (const ClusterRun& run : wrong) {
    const uint64_t end = run.first_cluster + run.clusters;
    if (run.clusters <= 2 * kExactEnds) {
      want(run.first_cluster, end);
    } else {
      want(run.first_cluster, run.first_cluster + kExactEnds);
      want(end - kExactEnds, end);
    }
  }
  // What surrounds several is counted once.
  const ClusterSet merged(std::move(wanted));
  uint64_t left = kMaxExactClusters;
  for (ClusterRun run : merged.runs()) {
    map_.exact_omitted |= run.clusters > left;
    run.clusters = std::min(run.clusters, left);
    left -= run.clusters;
    if (run.clusters > 0) map_.exact.push_back(run);
  }
  exact_ = ClusterSet(map_.exact);
}

void OwnershipCollector::AddStructures(std::span<const L2Table> tables,
                                       const RefcountStructures& structures) {
  const ImageModel& model = state_.model;
  metadata_sparse_ =
      model.regions.size() + structures.blocks.size() + tables.size() >
      OwnershipMap::kMaxRuns / 2;
  const auto add = [&](OwnedRun run, uint64_t offset, uint64_t length) {
    if (length == 0) return;
    run.first_cluster = offset >> geometry_.cluster_bits();
    run.clusters = ((offset + length - 1) >> geometry_.cluster_bits()) -
                   run.first_cluster + 1;
    run.cluster_class = ClassOf(run.owner, true);
    AddStructure(run);
  };
  for (const MetadataRegion& region : model.regions) {
    OwnedRun run;
    run.owner = region.owner;
    run.index = region.index;
    run.references = region.references;
    if (region.owner == kOwnerInactiveL1) {
      run.disk = model.L1TableOfSnapshot(region.index).value_or(0);
    }
    add(run, region.offset_bytes, region.length_bytes);
  }
  for (const RefcountBlock& block : structures.blocks) {
    if (!block.counted || block.duplicate) continue;
    OwnedRun run;
    run.owner = kOwnerRefcountBlock;
    run.index = block.table_index;
    add(run, block.offset_bytes, geometry_.cluster_size());
  }
  for (const L2Table& table : tables) {
    OwnedRun run;
    run.owner = table.active() ? kOwnerActiveL2 : kOwnerInactiveL2;
    run.disk = table.l1_table;
    run.index = table.l1_index;
    run.references = table.references;
    add(run, table.offset_bytes, geometry_.cluster_size());
  }
}

void OwnershipCollector::AddStructure(const OwnedRun& run) {
  ForEachBin(map_.bins, map_.bin_clusters, run.first_cluster, run.clusters,
             [&](FileBin& bin, uint64_t clusters) {
               bin.clusters[static_cast<size_t>(run.cluster_class)] += clusters;
             });
  if (!metadata_sparse_) {
    KeepPart(run);
    return;
  }
  exact_.Intersect(run.first_cluster, run.clusters,
                   [&](uint64_t first, uint64_t clusters) {
                     KeepPart(Cut(run, first, clusters, 0));
                   });
}

void OwnershipCollector::WalkL2Tables(std::span<const L2Table> tables) {
  state_.reader.Expect(tables.size() * geometry_.cluster_size());
  TableWalk walk;
  walk.tables = tables.size();
  walk.table_bytes = geometry_.cluster_size();
  walk.offset_of = [&](uint64_t index) { return tables[index].offset_bytes; };
  walk.make_visitor = [&] {
    return std::make_unique<OwnerVisitor>(*this, tables);
  };
  WalkTables(state_, walk);
}

void OwnershipCollector::Keep(const OwnedRun& run) {
  if (!sparse_ && map_.owned.size() >= OwnershipMap::kMaxRuns) GoSparse();
  if (!sparse_) {
    KeepPart(run);
    return;
  }
  exact_.Intersect(
      run.first_cluster, run.clusters, [&](uint64_t first, uint64_t clusters) {
        KeepPart(Cut(run, first, clusters, geometry_.cluster_size()));
      });
}

void OwnershipCollector::KeepPart(const OwnedRun& run) {
  if (map_.owned.size() < OwnershipMap::kMaxRuns) {
    map_.owned.push_back(run);
  } else {
    ++map_.owners_omitted;
  }
}

void OwnershipCollector::GoSparse() {
  sparse_ = true;
  const std::vector<OwnedRun> all = std::exchange(map_.owned, {});
  for (const OwnedRun& run : all) {
    if (IsData(run)) {
      Keep(run);
    } else {
      KeepPart(run);
    }
  }
}

void OwnershipCollector::CompleteBins() {
  for (size_t i = 0; i < map_.bins.size(); ++i) {
    std::array<uint64_t, kClusterClasses>& counts = map_.bins[i].clusters;
    const auto put = [&](ClusterClass cluster_class, uint64_t clusters) {
      counts[static_cast<size_t>(cluster_class)] += clusters;
    };
    const OtherSeen& seen = other_seen_[i];
    const uint64_t all = seen.snapshot + seen.compressed + seen.vm_state;
    uint64_t left = other_[i];
    const auto share = [&](uint64_t part) {
      const auto clusters = static_cast<uint64_t>(
          static_cast<double>(other_[i]) * static_cast<double>(part) /
          static_cast<double>(std::max<uint64_t>(all, 1)));
      const uint64_t taken = std::min(left, clusters);
      left -= taken;
      return taken;
    };
    put(ClusterClass::kVmState, share(seen.vm_state));
    put(ClusterClass::kCompressedData, share(seen.compressed));
    // What rounding left is of the largest.
    const bool compressed = seen.compressed > seen.snapshot;
    if (compressed) put(ClusterClass::kSnapshotData, share(seen.snapshot));
    put(compressed ? ClusterClass::kCompressedData
                   : ClusterClass::kSnapshotData,
        left);
    const uint64_t first = i * map_.bin_clusters;
    const uint64_t length =
        std::min(map_.bin_clusters, map_.file_clusters - first);
    uint64_t used = 0;
    for (const uint64_t count : counts) used += count;
    if (used < length) {
      const bool free = map_.counts_known && !map_.cut_short;
      put(free ? ClusterClass::kFree : ClusterClass::kUnknown, length - used);
    }
  }
}

void OwnershipCollector::Sort() {
  std::sort(map_.owned.begin(), map_.owned.end(),
            [](const OwnedRun& a, const OwnedRun& b) {
              return std::tuple(a.first_cluster, a.owner, a.disk,
                                a.guest_offset_bytes, a.index, a.clusters) <
                     std::tuple(b.first_cluster, b.owner, b.disk,
                                b.guest_offset_bytes, b.index, b.clusters);
            });
  std::vector<OwnedRun> merged;
  for (const OwnedRun& run : map_.owned) {
    if (merged.empty() || !Merge(merged.back(), run)) merged.push_back(run);
  }
  map_.owned = std::move(merged);
  std::sort(map_.marks.begin(), map_.marks.end(),
            [](const MarkedRun& a, const MarkedRun& b) {
              return std::tuple(a.first_cluster, a.mark) <
                     std::tuple(b.first_cluster, b.mark);
            });
  std::sort(map_.hits.begin(), map_.hits.end(),
            [](const GuestHit& a, const GuestHit& b) {
              return std::tuple(a.disk, a.offset_bytes, a.host_cluster) <
                     std::tuple(b.disk, b.offset_bytes, b.host_cluster);
            });
}

void OwnershipCollector::NameDisks() {
  const std::vector<L1Table>& tables = state_.model.l1_tables;
  std::vector<uint32_t> names(tables.size(), 0);
  map_.disk_names = {""};
  map_.disk_snapshots = {std::nullopt};
  const auto rename = [&](uint32_t& disk) {
    if (disk >= tables.size() || tables[disk].active) {
      disk = 0;
      return;
    }
    if (names[disk] == 0) {
      const L1Table& table = tables[disk];
      const std::string& name =
          table.snapshot_name.empty() ? table.snapshot_id : table.snapshot_name;
      names[disk] = static_cast<uint32_t>(map_.disk_names.size());
      map_.disk_names.push_back(name);
      map_.disk_snapshots.push_back(table.snapshot_index);
    }
    disk = names[disk];
  };
  for (OwnedRun& run : map_.owned) rename(run.disk);
  for (GuestHit& hit : map_.hits) rename(hit.disk);
}

}  // namespace qcow2::checker
