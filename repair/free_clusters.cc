#include "repair/free_clusters.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>

#include "absl/strings/str_cat.h"
#include "checker/printable.h"
#include "engine/format/l1_entry.h"
#include "engine/format/refcount_block.h"
#include "engine/status_macros.h"

namespace qcow2::repair {
namespace {

// So many free runs are kept; a plan needs few.
constexpr size_t kMaxRuns = 4096;

bool ReachesPast(uint64_t offset, uint64_t length, uint64_t end) {
  return length > 0 && (length > end || offset > end - length);
}

// The offset of a table that claims to go on behind `end` (bytes), if any.
std::optional<uint64_t> TablePast(const checker::ImageModel& model,
                                  uint64_t end) {
  for (const checker::MetadataRegion& region : model.regions) {
    if (region.goes_on_past_end) return region.offset_bytes;
  }
  // An L1 table that lies behind the end as a whole has no region.
  for (const checker::L1Table& table : model.l1_tables) {
    if (ReachesPast(table.offset_bytes, table.entries * kL1EntrySize, end)) {
      return table.offset_bytes;
    }
  }
  return std::nullopt;
}

}  // namespace

void FreeClusters::AddRun(uint64_t first_cluster, uint64_t clusters) {
  if (!runs_.empty() &&
      runs_.back().first_cluster + runs_.back().clusters == first_cluster) {
    runs_.back().clusters += clusters;
  } else if (runs_.size() < kMaxRuns) {
    runs_.push_back({first_cluster, clusters});
  }
}

absl::Status FreeClusters::AddFreeRunsOf(const checker::Graph& graph,
                                         const File& view,
                                         const checker::RefcountBlock& block) {
  const Geometry& geometry = *graph.model.geometry;
  const uint64_t base = block.table_index * geometry.refcount_block_entries();
  // A cluster that the end of the file cuts off is no place: writing it would
  // make the file longer.
  const uint64_t end =
      std::min(base + geometry.refcount_block_entries(),
               graph.model.file_size_bytes >> geometry.cluster_bits());
  if (base >= end) return absl::OkStatus();
  std::vector<std::byte> bytes(geometry.cluster_size());
  // What cannot be read is not known to be free.
  if (!ReadZeroFilled(view, block.offset_bytes, bytes).ok()) {
    return absl::OkStatus();
  }
  graph.map->ForEachRun(
      base, end,
      [&](uint64_t first, uint64_t count, const checker::ReferenceCell& cell) {
        if (cell.count != 0) return;
        for (uint64_t i = first; i < first + count; ++i) {
          if (GetRefcount(bytes, geometry.refcount_order(), i - base) == 0) {
            AddRun(i, 1);
          }
        }
      });
  return absl::OkStatus();
}

absl::Status FreeClusters::FindFreeRuns(const checker::Graph& graph,
                                        const File& view) {
  found_ = true;
  // Where an entry could not be followed, a count of zero may be just another
  // part of the damage.
  if (graph.model.refcounts_unknown || graph.model.references_incomplete) {
    return absl::OkStatus();
  }
  for (const checker::RefcountBlock& block : graph.refcounts.blocks) {
    if (!block.readable || block.duplicate) continue;
    if (runs_.size() >= kMaxRuns) break;
    RETURN_IF_ERROR(AddFreeRunsOf(graph, view, block));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> FreeClusters::Grow(const checker::Graph& graph,
                                            uint64_t clusters,
                                            File& view) const {
  const Geometry& geometry = *graph.model.geometry;
  ASSIGN_OR_RETURN(const uint64_t size, view.Size());
  if (!can_grow_) {
    return absl::ResourceExhaustedError(
        absl::StrCat(view.name(), ": no ", clusters,
                     " consecutive free clusters of ", geometry.cluster_size(),
                     " bytes, and a block device or remote image cannot "
                     "become longer here; enlarge it, then repair again"));
  }
  // New clusters would be part of a table that claims to go on there.
  const std::optional<uint64_t> table = TablePast(
      graph.model, geometry.ClustersFor(size) << geometry.cluster_bits());
  if (table) {
    return absl::ResourceExhaustedError(
        absl::StrCat(view.name(), ": no room for ", clusters,
                     " new clusters: the metadata at ", checker::Hex(*table),
                     " claims to reach past the end of the file"));
  }
  const uint64_t offset = geometry.ClustersFor(size) << geometry.cluster_bits();
  const uint64_t end = offset + (clusters << geometry.cluster_bits());
  if (end > growth_limit_bytes_) {
    return absl::ResourceExhaustedError(absl::StrCat(
        view.name(), ": no room for ", clusters,
        " new clusters: a damaged entry names a place at ",
        checker::Hex(growth_limit_bytes_), ", past the end of the file"));
  }
  RETURN_IF_ERROR(view.Truncate(end));
  return offset;
}

// What was free when the runs were found may have turned out to be in use: an
// entry was mended that names it.
void FreeClusters::SkipReferenced(const checker::Graph& graph,
                                  uint64_t clusters, Run& run) {
  bool skipped = true;
  while (skipped && run.clusters >= clusters) {
    const uint64_t begin = run.first_cluster;
    uint64_t skip = 0;
    graph.map->ForEachRun(begin, begin + clusters,
                          [&](uint64_t first, uint64_t count,
                              const checker::ReferenceCell& cell) {
                            if (cell.count != 0) skip = first + count - begin;
                          });
    run.first_cluster += skip;
    run.clusters -= skip;
    skipped = skip != 0;
  }
}

absl::StatusOr<uint64_t> FreeClusters::Allocate(const checker::Graph& graph,
                                                uint64_t clusters, File& view) {
  if (!found_) RETURN_IF_ERROR(FindFreeRuns(graph, view));
  for (size_t i = next_; i < runs_.size(); ++i) {
    Run& run = runs_[i];
    SkipReferenced(graph, clusters, run);
    if (run.clusters < clusters) continue;
    const uint64_t cluster = run.first_cluster;
    run.first_cluster += clusters;
    run.clusters -= clusters;
    while (next_ < runs_.size() && runs_[next_].clusters == 0) ++next_;
    NoteGiven(cluster, clusters);
    return cluster << graph.model.geometry->cluster_bits();
  }
  const absl::StatusOr<uint64_t> grown = Grow(graph, clusters, view);
  if (!grown.ok()) {
    ran_out_ = absl::IsResourceExhausted(grown.status());
    return grown.status();
  }
  const uint64_t offset = *grown;
  NoteGiven(offset >> graph.model.geometry->cluster_bits(), clusters);
  return offset;
}

void FreeClusters::NoteGiven(uint64_t first_cluster, uint64_t clusters) {
  const auto next = given_.upper_bound(first_cluster);
  if (next != given_.begin() && std::prev(next)->second == first_cluster) {
    std::prev(next)->second += clusters;
  } else {
    given_[first_cluster] = first_cluster + clusters;
  }
}

bool FreeClusters::IsGiven(uint64_t cluster) const {
  const auto next = given_.upper_bound(cluster);
  return next != given_.begin() && cluster < std::prev(next)->second;
}

}  // namespace qcow2::repair
