#include "checker/pattern_pass.h"

#include <algorithm>
#include <utility>

#include "checker/hole_finder.h"
#include "checker/l2_shape.h"

namespace qcow2::checker {
namespace {

// Leaked clusters that are looked at to see what they are: in all, of one run,
// and the bytes read for it.
constexpr uint64_t kMaxExaminedClusters = 4096;
constexpr uint64_t kMaxExaminedOfRun = 64;
constexpr uint64_t kMaxExaminedBytes = 16 << 20;
// An empty L2 table counts as wiped when at least so many of the clusters
// behind it are leaked (or all there are): a program that empties a table
// frees what it named.
constexpr uint64_t kLeaksOfWipedTable = 4;

// Leaked clusters in [first, end).
uint64_t LeakedIn(std::vector<Finding>& leaks, uint64_t first, uint64_t end,
                  bool mark_suspect) {
  uint64_t leaked = 0;
  for (Finding& leak : leaks) {
    const uint64_t from = std::max(first, leak.host->first_cluster);
    const uint64_t to =
        std::min(end, leak.host->first_cluster + leak.host->clusters);
    if (from >= to) continue;
    leaked += to - from;
    if (mark_suspect) leak.suspect_orphan = true;
  }
  return leaked;
}

void FindWipedTables(CheckState& state, std::span<const L2Table> tables,
                     const std::vector<uint32_t>& empty_tables) {
  const Geometry& geometry = *state.model.geometry;
  std::vector<Finding>& leaks = state.sink.FindingsOf(Problem::kClusterLeaked);
  for (const uint32_t index : empty_tables) {
    const L2Table& table = tables[index];
    // Programs allocate the clusters a new table names right behind it.
    const uint64_t cluster = table.offset_bytes >> geometry.cluster_bits();
    const uint64_t end = std::min(cluster + 1 + geometry.l2_entries(),
                                  state.model.FileClusters());
    if (end <= cluster + 1) continue;
    const uint64_t leaked = LeakedIn(leaks, cluster + 1, end, false);
    if (leaked < std::min(kLeaksOfWipedTable, end - cluster - 1)) continue;
    LeakedIn(leaks, cluster + 1, end, true);
    Finding finding;
    finding.problem = Problem::kL2TableWiped;
    finding.location = LocationOf(state.model, table, 0);
    finding.location.index.reset();
    finding.host = HostRun{cluster, 1, table.offset_bytes};
    finding.guest.push_back(
        GuestRangeOf(state.model, table, 0, geometry.l2_entries()));
    finding.actual = leaked;
    state.sink.Add(std::move(finding));
  }
}

// Reports the leaked cluster if it is shaped like an L2 table.
bool ExamineLeakedCluster(CheckState& state, uint64_t cluster,
                          std::vector<std::byte>& bytes) {
  const Geometry& geometry = *state.model.geometry;
  const uint64_t offset = cluster << geometry.cluster_bits();
  if (!state.reader.Read(offset, bytes).empty()) return false;
  uint64_t entries = 0;
  if (ShapeOf(bytes, geometry, ScanRulesOf(state), &entries) !=
      TableShape::kL2Table) {
    return false;
  }
  Finding finding;
  finding.problem = Problem::kOrphanL2Table;
  finding.location.structure = Structure::kHostCluster;
  finding.host = HostRun{cluster, 1, offset};
  finding.actual = entries;
  state.sink.Add(std::move(finding));
  return true;
}

// Whether the cluster is known to hold what is left of a stale bitmap.
bool IsStale(const ImageModel& model, uint64_t cluster) {
  const uint64_t offset = cluster << model.geometry->cluster_bits();
  return std::any_of(model.stale_regions.begin(), model.stale_regions.end(),
                     [offset](const MetadataRegion& region) {
                       return offset >= region.offset_bytes &&
                              offset - region.offset_bytes <
                                  region.length_bytes;
                     });
}

void FindOrphanTables(CheckState& state) {
  std::vector<std::byte> bytes(state.model.geometry->cluster_size());
  HoleFinder holes(state.reader.file());
  uint64_t examined = 0;
  uint64_t bytes_left = kMaxExaminedBytes;
  for (Finding& leak : state.sink.FindingsOf(Problem::kClusterLeaked)) {
    const uint64_t clusters = std::min(leak.host->clusters, kMaxExaminedOfRun);
    for (uint64_t i = 0; i < clusters; ++i) {
      if (examined++ >= kMaxExaminedClusters || bytes_left < bytes.size() ||
          state.reader.Cancelled()) {
        return;
      }
      const uint64_t cluster = leak.host->first_cluster + i;
      if (IsStale(state.model, cluster) ||
          holes.IsHole(cluster * bytes.size(), bytes.size())) {
        continue;
      }
      bytes_left -= bytes.size();
      if (ExamineLeakedCluster(state, cluster, bytes)) {
        leak.suspect_orphan = true;
      }
    }
  }
}

}  // namespace

void RunPatternPass(CheckState& state, std::span<const L2Table> tables,
                    const ReferencePassResult& references) {
  if (!state.sink.Has(Problem::kClusterLeaked)) return;
  FindWipedTables(state, tables, references.empty_active_tables);
  if (!state.model.external_data_file) FindOrphanTables(state);
  std::vector<Finding>& leaks = state.sink.FindingsOf(Problem::kClusterLeaked);
  uint64_t suspects = 0;
  for (Finding& leak : leaks) {
    if (state.model.references_incomplete) leak.suspect_orphan = true;
    if (leak.suspect_orphan) suspects += leak.count;
  }
  // Findings that were counted but not kept are suspect like the rest.
  if (state.model.references_incomplete) {
    suspects = state.sink.CountOf(Problem::kClusterLeaked);
  }
  state.sink.SetSuspectOrphans(suspects);
}

}  // namespace qcow2::checker
