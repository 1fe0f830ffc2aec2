#include "repair/changed_clusters.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/format/refcount_block.h"

namespace qcow2::repair {
namespace {

using checker::Graph;
using checker::Problem;
using checker::ReferenceCell;
using checker::ReferenceMap;

// Whether something other than one metadata structure refers to the cluster.
bool MayBeGuestData(const ReferenceCell& cell) {
  if (cell.count == 0) return false;
  return (cell.flags & checker::kReferenceMetadata) == 0 ||
         (cell.flags & checker::kReferenceOverlap) != 0;
}

// The refcounts that an image stores, read a block at a time.
class StoredRefcounts {
 public:
  StoredRefcounts(const File& image, const Graph& graph)
      : image_(image), graph_(graph) {}

  // The count of `cluster`; nothing if it is not known.
  std::optional<uint64_t> At(uint64_t cluster);

 private:
  bool ReadBlock(uint64_t table_index);

  const File& image_;
  const Graph& graph_;
  std::optional<uint64_t> table_index_;
  // Of the block at table_index_: absent, or not to be read.
  bool missing_ = false;
  bool readable_ = false;
  std::vector<std::byte> bytes_;
};

bool StoredRefcounts::ReadBlock(uint64_t table_index) {
  table_index_ = table_index;
  const auto& blocks = graph_.refcounts.blocks;
  const auto block = std::lower_bound(
      blocks.begin(), blocks.end(), table_index,
      [](const checker::RefcountBlock& candidate, uint64_t index) {
        return candidate.table_index < index;
      });
  missing_ = block == blocks.end() || block->table_index != table_index;
  readable_ = !missing_ && block->readable;
  if (!readable_) return false;
  bytes_.resize(graph_.model.geometry->cluster_size());
  readable_ = ReadZeroFilled(image_, block->offset_bytes, bytes_).ok();
  return readable_;
}

std::optional<uint64_t> StoredRefcounts::At(uint64_t cluster) {
  if (graph_.model.refcounts_unknown) return std::nullopt;
  const Geometry& geometry = *graph_.model.geometry;
  const uint64_t table_index = cluster >> geometry.refcount_block_bits();
  if (table_index_ != table_index) ReadBlock(table_index);
  if (missing_) return 0;
  if (!readable_) return std::nullopt;
  return GetRefcount(bytes_, geometry.refcount_order(),
                     cluster & (geometry.refcount_block_entries() - 1));
}

class ChangeFinder {
 public:
  ChangeFinder(const File& image, const OverlayFile& view,
               const PlannedRepair& planned, ProofLog& log);

  ChangedClusters Run();

 private:
  // Whether entries of the image may name clusters past its end.
  bool NamesPastEnd() const;
  void VisitClusters(uint64_t first, uint64_t end);
  void VisitRun(uint64_t first, uint64_t count, const ReferenceCell& cell);
  bool BytesDiffer(uint64_t cluster);
  bool IsTableNow(uint64_t cluster);
  void JudgeUnreferenced(uint64_t cluster);

  const File& image_;
  const OverlayFile& view_;
  const PlannedRepair& planned_;
  const Graph& before_;
  const Graph& after_;
  ProofLog& log_;
  const uint64_t old_clusters_;
  const bool names_past_end_;
  StoredRefcounts stored_;
  ChangedClusters changed_;
  std::vector<std::byte> buffer_before_;
  std::vector<std::byte> buffer_after_;
};

ChangeFinder::ChangeFinder(const File& image, const OverlayFile& view,
                           const PlannedRepair& planned, ProofLog& log)
    : image_(image),
      view_(view),
      planned_(planned),
      before_(planned.graph_before),
      after_(planned.graph_after),
      log_(log),
      old_clusters_(before_.model.FileClusters()),
      names_past_end_(NamesPastEnd()),
      stored_(image, before_) {}

bool ChangeFinder::NamesPastEnd() const {
  return planned_.before.OccurrencesOf(Problem::kL1EntryPastEnd) +
             planned_.before.OccurrencesOf(Problem::kL2EntryPastEnd) +
             planned_.before.OccurrencesOf(Problem::kCompressedPastEnd) !=
         0;
}

bool ChangeFinder::BytesDiffer(uint64_t cluster) {
  const Geometry& geometry = *before_.model.geometry;
  const uint64_t offset = cluster << geometry.cluster_bits();
  buffer_before_.resize(geometry.cluster_size());
  buffer_after_.resize(geometry.cluster_size());
  return !ReadZeroFilled(image_, offset, buffer_before_).ok() ||
         !ReadZeroFilled(view_, offset, buffer_after_).ok() ||
         buffer_before_ != buffer_after_;
}

// Whether the cluster is an L2 or L1 table of the view. No plan makes new
// tables in clusters that are counted, so that it is one that was found again.
bool ChangeFinder::IsTableNow(uint64_t cluster) {
  const uint32_t bits = before_.model.geometry->cluster_bits();
  const uint64_t offset = cluster << bits;
  const auto& tables = after_.l2_tables;
  const auto table =
      std::lower_bound(tables.begin(), tables.end(), offset,
                       [](const checker::L2Table& candidate, uint64_t at) {
                         return candidate.offset_bytes < at;
                       });
  if (table != tables.end() && table->offset_bytes == offset) {
    changed_.found_tables.push_back(offset);
    return true;
  }
  const auto& l1_tables = after_.model.l1_tables;
  return std::any_of(
      l1_tables.begin(), l1_tables.end(), [&](const checker::L1Table& l1) {
        return offset + (uint64_t{1} << bits) > l1.offset_bytes &&
               offset < l1.offset_bytes + l1.entries * 8;
      });
}

void ChangeFinder::JudgeUnreferenced(uint64_t cluster) {
  const std::optional<uint64_t> stored = stored_.At(cluster);
  if (stored == uint64_t{0} || !BytesDiffer(cluster)) return;
  if (IsTableNow(cluster)) return;
  log_.Fail(ProofFailure::Kind::kEvidence,
            absl::StrFormat(
                "host cluster %u (offset %#x), which nothing "
                "refers to but %s, would be overwritten",
                cluster, cluster << before_.model.geometry->cluster_bits(),
                stored.has_value() ? "is counted" : "may be counted"));
}

void ChangeFinder::VisitRun(uint64_t first, uint64_t count,
                            const ReferenceCell& cell) {
  const Geometry& geometry = *before_.model.geometry;
  for (uint64_t i = first; i < first + count && !log_.Ended(); ++i) {
    const bool inside = i < old_clusters_;
    bool guest = MayBeGuestData(cell);
    if (!inside && names_past_end_) {
      guest =
          guest || after_.map == nullptr || MayBeGuestData(after_.map->At(i));
    }
    if (guest) {
      if (BytesDiffer(i)) {
        changed_.guest.Append(
            {i << geometry.cluster_bits(), geometry.cluster_size()});
      }
    } else if (inside && cell.count == 0) {
      JudgeUnreferenced(i);
    }
  }
}

void ChangeFinder::VisitClusters(uint64_t first, uint64_t end) {
  if (before_.map == nullptr) {
    // Nothing is known: anything may be guest data.
    VisitRun(first, end - first, ReferenceCell{1, 0});
    return;
  }
  before_.map->ForEachRun(
      first, end,
      [&](uint64_t run_first, uint64_t count, const ReferenceCell& cell) {
        if (cell.count != 0 && !MayBeGuestData(cell) &&
            run_first + count <= old_clusters_) {
          return;
        }
        VisitRun(run_first, count, cell);
      });
}

ChangedClusters ChangeFinder::Run() {
  const uint32_t bits = before_.model.geometry->cluster_bits();
  uint64_t done = 0;  // clusters before this one were visited
  for (const ByteRange& range : view_.DirtyRanges()) {
    if (log_.Ended()) break;
    const uint64_t first = std::max(range.offset >> bits, done);
    done = ((range.offset + range.length - 1) >> bits) + 1;
    if (first < done) VisitClusters(first, done);
  }
  return std::move(changed_);
}

}  // namespace

ChangedClusters FindChangedClusters(const File& image, const OverlayFile& view,
                                    const PlannedRepair& planned,
                                    ProofLog& log) {
  return ChangeFinder(image, view, planned, log).Run();
}

}  // namespace qcow2::repair
