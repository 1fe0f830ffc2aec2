#include "repair/orphan_clusters.h"

#include <algorithm>
#include <iterator>

#include "checker/l2_entry_judge.h"
#include "checker/l2_shape.h"
#include "checker/l2_tables.h"
#include "engine/format/l2_entry.h"

namespace qcow2::repair {
namespace {

using checker::Finding;
using checker::Problem;
using checker::ReferenceCell;

// Answers about shapes that are remembered, and clusters read for them.
constexpr size_t kMaxShapes = 4096;

}  // namespace

OrphanClusters::OrphanClusters(const checker::Graph& graph,
                               const checker::CheckReport& report,
                               const File& view)
    : graph_(graph),
      report_(report),
      view_(view),
      rules_(checker::ScanRulesOf(graph.model)),
      stored_(graph, view),
      any_(!graph.model.refcounts_unknown &&
           // An entry that names an orphan of its own hides it from the counts.
           (report.Found(Problem::kClusterLeaked) ||
            report.Found(Problem::kRefcountTooHigh))) {
  if (any_ && IsCutOff(report)) any_ = false;
}

// Whether something names a place past the end of the file that is counted, so
// that the name is right and the file was longer once.
bool OrphanClusters::IsCutOff(const checker::CheckReport& report) {
  constexpr Problem kPastEnd[] = {
      Problem::kL1EntryPastEnd, Problem::kL2EntryPastEnd,
      Problem::kCompressedPastEnd, Problem::kRefcountBlockPastEnd};
  const uint32_t bits = graph_.model.geometry->cluster_bits();
  return std::any_of(
      report.problems.begin(), report.problems.end(),
      [&](const Finding& finding) {
        return std::find(std::begin(kPastEnd), std::end(kPastEnd),
                         finding.problem) != std::end(kPastEnd) &&
               stored_.At(finding.actual.value_or(0) >> bits).value_or(0) > 0;
      });
}

uint64_t OrphanClusters::Excess(uint64_t cluster, uint64_t own_references) {
  if (cluster == 0 || cluster >= graph_.model.FileClusters()) return 0;
  const ReferenceCell cell = graph_.map->At(cluster);
  if ((cell.flags & checker::kReferenceMetadata) != 0) return 0;
  const uint64_t others = cell.count - std::min(cell.count, own_references);
  const std::optional<uint64_t> stored = stored_.At(cluster);
  if (!stored.has_value() || *stored <= others) return 0;
  return *stored - others;
}

uint64_t OrphanClusters::Shortage(uint64_t cluster) {
  const uint64_t reached = graph_.map->At(cluster).count;
  if (reached == 0) return 0;
  const std::optional<uint64_t> stored = stored_.At(cluster);
  if (!stored.has_value() || *stored >= reached) return 0;
  return reached - *stored;
}

bool OrphanClusters::IsTableInUse(uint64_t offset) const {
  const auto found =
      std::lower_bound(graph_.l2_tables.begin(), graph_.l2_tables.end(), offset,
                       [](const checker::L2Table& table, uint64_t wanted) {
                         return table.offset_bytes < wanted;
                       });
  return found != graph_.l2_tables.end() && found->offset_bytes == offset;
}

bool OrphanClusters::IsShapedLikeOrphanTable(uint64_t cluster) {
  const Geometry& geometry = *graph_.model.geometry;
  bytes_.resize(geometry.cluster_size());
  if (!ReadZeroFilled(view_, cluster << geometry.cluster_bits(), bytes_).ok() ||
      checker::ShapeOf(bytes_, geometry, rules_, nullptr) !=
          checker::TableShape::kL2Table) {
    return false;
  }
  if (graph_.model.external_data_file) return true;
  bool names_any = false;
  for (uint64_t at = 0; at < bytes_.size(); at += geometry.l2_entry_size()) {
    const L2Entry entry = L2Entry::Decode(&bytes_[at], geometry);
    const uint64_t offset = entry.is_compressed()
                                ? entry.compressed(geometry).offset.value()
                                : entry.host_offset().value();
    if (offset == 0) continue;
    names_any = true;
    if (Excess(offset >> geometry.cluster_bits()) > 0) return true;
  }
  return !names_any;
}

bool OrphanClusters::IsOrphanL2Table(uint64_t offset) {
  const uint64_t cluster = offset >> graph_.model.geometry->cluster_bits();
  if (!any_ || cluster == 0 || cluster >= graph_.model.FileClusters()) {
    return false;
  }
  const ReferenceCell cell = graph_.map->At(cluster);
  if (cell.count > 0) {
    const std::optional<uint64_t> stored = stored_.At(cluster);
    return stored.has_value() && *stored > cell.count &&
           (cell.flags & checker::kReferenceOverlap) == 0 &&
           IsTableInUse(offset);
  }
  if (Excess(cluster) == 0) return false;
  const auto known = shapes_.find(cluster);
  if (known != shapes_.end()) return known->second;
  if (shapes_.size() >= kMaxShapes) return false;
  return shapes_[cluster] = IsShapedLikeOrphanTable(cluster);
}

bool OrphanClusters::CollectOrphans(uint64_t mistaken,
                                    absl::flat_hash_set<uint64_t>& clusters) {
  const Geometry& geometry = *graph_.model.geometry;
  for (uint64_t at = 0; at < bytes_.size(); at += geometry.l2_entry_size()) {
    const checker::EntryReference reference = checker::ReferenceOf(
        graph_.model, L2Entry::Decode(&bytes_[at], geometry),
        /*qemu_compatible=*/false);
    if (reference.length_bytes == 0) continue;
    const uint64_t first = reference.offset_bytes >> geometry.cluster_bits();
    const uint64_t last =
        (reference.offset_bytes + reference.length_bytes - 1) >>
        geometry.cluster_bits();
    for (uint64_t cluster = first; cluster <= last; ++cluster) {
      if (cluster == mistaken) continue;
      if (Excess(cluster) == 0) return false;
      clusters.insert(cluster);
    }
  }
  return true;
}

std::optional<uint64_t> OrphanClusters::SoleLostTable(
    uint64_t mistaken_offset) {
  const uint64_t leaked = report_.OccurrencesOf(Problem::kClusterLeaked);
  if (!any_ || report_.OccurrencesOf(Problem::kOrphanL2Table) != 1) {
    return std::nullopt;
  }
  const auto found =
      std::find_if(report_.problems.begin(), report_.problems.end(),
                   [](const Finding& finding) {
                     return finding.problem == Problem::kOrphanL2Table &&
                            finding.host.has_value();
                   });
  if (found == report_.problems.end()) return std::nullopt;
  const uint64_t offset = found->host->offset_bytes;
  if (!IsOrphanL2Table(offset)) return std::nullopt;
  const uint32_t bits = graph_.model.geometry->cluster_bits();
  bytes_.resize(graph_.model.geometry->cluster_size());
  if (!ReadZeroFilled(view_, offset, bytes_).ok()) return std::nullopt;
  absl::flat_hash_set<uint64_t> clusters = {offset >> bits};
  if (!CollectOrphans(mistaken_offset >> bits, clusters)) return std::nullopt;
  const auto explained = static_cast<uint64_t>(std::count_if(
      clusters.begin(), clusters.end(),
      [&](uint64_t cluster) { return graph_.map->At(cluster).count == 0; }));
  if (explained != leaked) return std::nullopt;
  return offset;
}

}  // namespace qcow2::repair
