#include "repair/metadata_edit.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/format/byte_order.h"
#include "engine/format/l1_entry.h"
#include "engine/status_macros.h"
#include "repair/view_edit.h"

namespace qcow2::repair {
namespace {

using checker::Finding;
using checker::Graph;

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

// Whether an L1 entry may stand where a table is thought to go on.
bool IsPossibleL1Entry(const Graph& graph, StoredRefcounts& stored,
                       L1Entry entry) {
  if (entry.is_zero()) return true;
  const Geometry& geometry = *graph.model.geometry;
  const uint64_t offset = entry.l2_offset().value();
  if (L1EntryIssues(entry, geometry) != 0 || offset == 0 ||
      offset >= graph.model.file_size_bytes) {
    return false;
  }
  const uint64_t cluster = offset >> geometry.cluster_bits();
  if (IsOrphan(graph, stored, cluster)) return true;
  const auto table =
      std::lower_bound(graph.l2_tables.begin(), graph.l2_tables.end(), offset,
                       [](const checker::L2Table& a, uint64_t value) {
                         return a.offset_bytes < value;
                       });
  return table != graph.l2_tables.end() && table->offset_bytes == offset;
}

// Calls `visit(entry)` for the entries [first, end) of the L1 table at
// `offset` until it says false. False if it did or if one cannot be read.
template <typename Visit>
bool AllL1Entries(const File& view, uint64_t offset, uint64_t first,
                  uint64_t end, Visit visit) {
  std::vector<std::byte> piece;
  while (first < end) {
    const uint64_t count = std::min(kPieceBytes / kL1EntrySize, end - first);
    piece.resize(count * kL1EntrySize);
    if (!ReadZeroFilled(view, offset + first * kL1EntrySize, piece).ok()) {
      return false;
    }
    for (uint64_t i = 0; i < count; ++i) {
      if (!visit(L1Entry::Decode(&piece[i * kL1EntrySize]))) return false;
    }
    first += count;
  }
  return true;
}

}  // namespace

const Finding* FindingOf(const checker::CheckReport& report,
                         checker::Problem problem) {
  for (const std::vector<Finding>* list :
       {&report.problems, &report.warnings}) {
    for (const Finding& finding : *list) {
      if (finding.problem == problem) return &finding;
    }
  }
  return nullptr;
}

absl::Status WriteBe32(File& view, uint64_t offset, uint32_t value) {
  std::array<std::byte, 4> bytes;
  StoreBe32(bytes.data(), value);
  return view.Pwrite(offset, bytes);
}

absl::Status WriteBe64(File& view, uint64_t offset, uint64_t value) {
  std::array<std::byte, 8> bytes;
  StoreBe64(bytes.data(), value);
  return view.Pwrite(offset, bytes);
}

bool HasSoleOwner(const Graph& graph, uint64_t offset, uint64_t length) {
  if (length == 0) return false;
  const Geometry& geometry = *graph.model.geometry;
  if (length > ~uint64_t{0} - offset) return false;
  const uint64_t first = offset >> geometry.cluster_bits();
  const uint64_t end = ((offset + length - 1) >> geometry.cluster_bits()) + 1;
  if (end > graph.model.FileClusters()) return false;
  bool sole = true;
  graph.map->ForEachRun(
      first, end,
      [&sole](uint64_t, uint64_t, const checker::ReferenceCell& cell) {
        sole &= cell.count == 1;
      });
  return sole;
}

bool IsOrphan(const Graph& graph, StoredRefcounts& stored, uint64_t cluster) {
  return cluster < graph.model.FileClusters() &&
         graph.map->At(cluster).count == 0 &&
         stored.At(cluster).value_or(0) != 0;
}

bool L1TableGoesOn(const Graph& graph, const File& view, uint64_t offset,
                   uint64_t entries, uint64_t wanted) {
  const Geometry& geometry = *graph.model.geometry;
  StoredRefcounts stored(graph, view);
  const uint64_t first = offset >> geometry.cluster_bits();
  const uint64_t end = first + geometry.ClustersFor(wanted * kL1EntrySize);
  for (uint64_t cluster = first + geometry.ClustersFor(entries * kL1EntrySize);
       cluster < end; ++cluster) {
    if (!IsOrphan(graph, stored, cluster)) return false;
  }
  // Counts of the tables named are looked up in another place of the file.
  StoredRefcounts named(graph, view);
  return end <= graph.model.FileClusters() &&
         AllL1Entries(view, offset, entries, wanted,
                      [&graph, &named](L1Entry entry) {
                        return IsPossibleL1Entry(graph, named, entry);
                      });
}

bool HasL1Entries(const File& view, uint64_t offset, uint64_t first,
                  uint64_t end) {
  return !AllL1Entries(view, offset, first, end,
                       [](L1Entry entry) { return entry.is_zero(); });
}

absl::StatusOr<uint64_t> PlaceTable(RepairContext& context, uint64_t old_offset,
                                    uint64_t old_length,
                                    std::span<const std::byte> table) {
  const Geometry& geometry = *context.graph.model.geometry;
  const uint64_t clusters = geometry.ClustersFor(table.size());
  uint64_t offset = old_offset;
  if (clusters > geometry.ClustersFor(old_length) ||
      !geometry.IsAligned(old_offset) ||
      !HasSoleOwner(context.graph, old_offset, table.size())) {
    ASSIGN_OR_RETURN(offset, context.free_clusters.Allocate(
                                 context.graph, clusters, context.view));
  }
  RETURN_IF_ERROR(context.view.Pwrite(offset, table));
  RETURN_IF_ERROR(
      WriteZeros(context.view, offset + table.size(),
                 (clusters << geometry.cluster_bits()) - table.size()));
  return offset;
}

void MetadataMender::Record(checker::Problem problem, std::string where,
                            std::string before, std::string after,
                            uint64_t count) {
  edits_.push_back(
      EditFor(problem, std::move(where), std::move(before), std::move(after)));
  edits_.back().count = count;
}

void MetadataMender::RecordChange(GuestChange change) {
  guest_changes_.push_back(std::move(change));
}

void MetadataMender::TellPlan() {
  for (Edit& edit : edits_) context_.plan.Add(std::move(edit));
  for (GuestChange& change : guest_changes_) {
    context_.plan.AddGuestChange(std::move(change));
  }
}

}  // namespace qcow2::repair
