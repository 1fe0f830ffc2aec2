#include "repair/suspect_orphans.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

#include "checker/l2_entry_judge.h"
#include "checker/l2_scan.h"
#include "checker/l2_shape.h"
#include "engine/format/l2_entry.h"

namespace qcow2::repair {
namespace {

// An empty L2 table counts as wiped when at least so many of the clusters
// behind it are leaked, or all there are.
constexpr uint64_t kLeaksOfWipedTable = 4;
// With more empty tables than this, what is leaked behind any of them is
// suspect without counting.
constexpr size_t kMaxCountedWindows = 4096;
// Bytes of a leaked cluster that are looked at first.
constexpr size_t kProbeBytes = 4096;

bool IsLeaked(const checker::Graph& graph, StoredRefcounts& stored,
              uint64_t cluster) {
  return graph.map->At(cluster).count == 0 &&
         stored.At(cluster).value_or(0) != 0;
}

bool HasEnoughLeaks(const checker::Graph& graph, StoredRefcounts& stored,
                    uint64_t first, uint64_t end) {
  const uint64_t enough = std::min(kLeaksOfWipedTable, end - first);
  uint64_t leaked = 0;
  for (uint64_t cluster = first; cluster < end && leaked < enough; ++cluster) {
    if (IsLeaked(graph, stored, cluster)) ++leaked;
  }
  return leaked >= enough;
}

// What an L2 table names, run by run.
class NamedClusters {
 public:
  NamedClusters(const checker::Graph& graph,
                std::vector<checker::ClusterRun>& runs)
      : graph_(graph), runs_(runs) {}

  void OnRun(const checker::L2Run& run) {
    Add(run.host_offset_bytes, run.entries * ClusterSize());
  }
  void OnOdd(uint64_t, L2Entry entry) {
    const checker::EntryReference reference =
        checker::ReferenceOf(graph_.model, entry, /*qemu_compatible=*/false);
    if (reference.length_bytes > 0) {
      Add(reference.offset_bytes, reference.length_bytes);
    }
  }

 private:
  uint64_t ClusterSize() const { return graph_.model.geometry->cluster_size(); }
  void Add(uint64_t offset, uint64_t length) {
    const uint64_t first = offset / ClusterSize();
    runs_.push_back({first, (offset + length - 1) / ClusterSize() - first + 1});
  }

  const checker::Graph& graph_;
  std::vector<checker::ClusterRun>& runs_;
};

// Whether the cluster is known to hold nothing without reading it. Remembers
// the data behind a hole, since leaks come in the order of the file.
class Holes {
 public:
  explicit Holes(const File& view) : view_(view) {}

  bool Covers(uint64_t offset, uint64_t length) {
    if (offset < hole_begin_ || offset + length > hole_end_) {
      const absl::StatusOr<ByteRange> data = view_.NextData(offset);
      if (!data.ok()) return false;
      hole_begin_ = offset;
      hole_end_ = data->length == 0 ? ~uint64_t{0} : data->offset;
    }
    return offset + length <= hole_end_;
  }

 private:
  const File& view_;
  uint64_t hole_begin_ = 0;
  uint64_t hole_end_ = 0;
};

checker::ClusterSet SetOf(std::span<const checker::MetadataRegion> regions,
                          const Geometry& geometry) {
  std::vector<checker::ClusterRun> runs;
  for (const checker::MetadataRegion& region : regions) {
    if (region.length_bytes == 0) continue;
    const uint64_t first = region.offset_bytes >> geometry.cluster_bits();
    const uint64_t last = (region.offset_bytes + region.length_bytes - 1) >>
                          geometry.cluster_bits();
    runs.push_back({first, last - first + 1});
  }
  return checker::ClusterSet(std::move(runs));
}

}  // namespace

void SuspectOrphans::AddWindowsOfWipedTables(const checker::Graph& graph,
                                             StoredRefcounts& stored) {
  const Geometry& geometry = *graph.model.geometry;
  const bool counted = graph.empty_active_tables.size() <= kMaxCountedWindows;
  for (const uint64_t index : graph.empty_active_tables) {
    // Programs allocate the clusters a new table names right behind it.
    const uint64_t first =
        (graph.l2_tables[index].offset_bytes >> geometry.cluster_bits()) + 1;
    const uint64_t end =
        std::min(first + geometry.l2_entries(), graph.model.FileClusters());
    if (first >= end) continue;
    if (counted && !HasEnoughLeaks(graph, stored, first, end)) continue;
    runs_.push_back({first, end - first});
  }
}

void SuspectOrphans::ExamineLeakedCluster(const checker::Graph& graph,
                                          const File& view, uint64_t cluster) {
  const Geometry& geometry = *graph.model.geometry;
  const checker::L2ScanRules rules = checker::ScanRulesOf(graph.model);
  const uint64_t offset = cluster << geometry.cluster_bits();
  std::vector<std::byte> bytes(
      std::min<uint64_t>(kProbeBytes, geometry.cluster_size()));
  // What cannot be read might be anything.
  if (!ReadZeroFilled(view, offset, bytes).ok()) {
    runs_.push_back({cluster, 1});
    return;
  }
  const checker::TableShape probe =
      checker::ShapeOf(bytes, geometry, rules, nullptr);
  if (probe != checker::TableShape::kL2Table &&
      probe != checker::TableShape::kEmpty) {
    return;
  }
  bytes.resize(geometry.cluster_size());
  if (!ReadZeroFilled(view, offset, bytes).ok()) {
    runs_.push_back({cluster, 1});
    return;
  }
  if (checker::ShapeOf(bytes, geometry, rules, nullptr) !=
      checker::TableShape::kL2Table) {
    return;
  }
  runs_.push_back({cluster, 1});
  NamedClusters named(graph, runs_);
  checker::ScanL2Table(bytes, rules, named);
}

void SuspectOrphans::AddOrphanTables(const checker::Graph& graph,
                                     const File& view,
                                     StoredRefcounts& stored) {
  const Geometry& geometry = *graph.model.geometry;
  Holes holes(view);
  for (const checker::RefcountBlock& block : graph.refcounts.blocks) {
    const uint64_t base = block.table_index * geometry.refcount_block_entries();
    const uint64_t end = std::min(base + geometry.refcount_block_entries(),
                                  graph.model.FileClusters());
    if (base >= end || stored.BlockOf(base).empty()) continue;
    const auto examine = [&](uint64_t first, uint64_t count,
                             const checker::ReferenceCell& cell) {
      if (cell.count != 0) return;
      for (uint64_t i = first; i < first + count; ++i) {
        if (stored.At(i).value_or(0) == 0 || known_.Contains(i)) continue;
        if (holes.Covers(i << geometry.cluster_bits(),
                         geometry.cluster_size())) {
          continue;
        }
        ExamineLeakedCluster(graph, view, i);
      }
    };
    graph.map->ForEachRun(base, end, examine);
  }
}

SuspectOrphans SuspectOrphans::Find(const RepairContext& context) {
  SuspectOrphans found;
  if (context.options.free_suspects) return found;
  const checker::Graph& graph = context.graph;
  found.known_ = SetOf(context.former_regions, *graph.model.geometry);
  found.all_ = graph.model.references_incomplete;
  if (found.all_) return found;
  StoredRefcounts stored(graph, context.view);
  found.AddWindowsOfWipedTables(graph, stored);
  if (!graph.model.external_data_file) {
    found.AddOrphanTables(graph, context.view, stored);
  }
  found.suspects_ = checker::ClusterSet(std::move(found.runs_));
  return found;
}

bool SuspectOrphans::Contains(uint64_t cluster) const {
  return all_ ? !known_.Contains(cluster) : suspects_.Contains(cluster);
}

}  // namespace qcow2::repair
