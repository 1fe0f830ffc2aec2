#include "repair/refcount_step.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/refcount_runs.h"
#include "engine/format/refcount_block.h"
#include "engine/status_macros.h"
#include "repair/suspect_orphans.h"

namespace qcow2::repair {
namespace {

using checker::Problem;
using checker::ReferenceCell;

constexpr Problem kCountProblems[] = {
    Problem::kRefcountTooLow, Problem::kRefcountTooHigh,
    Problem::kClusterLeaked, Problem::kRefcountPastEnd};

// Corrects the counts of one block after the other.
class CountMender {
 public:
  CountMender(RepairContext& context, bool leaks_only)
      : context_(context),
        geometry_(*context.graph.model.geometry),
        leaks_only_(leaks_only) {}

  absl::StatusOr<bool> Run();

 private:
  // A run of clusters whose counts change alike.
  struct Change {
    Problem problem = Problem::kRefcountTooLow;
    uint64_t first_cluster = 0;
    uint64_t clusters = 0;
    uint64_t before = 0;
    uint64_t after = 0;
  };

  absl::Status MendBlock(const checker::RefcountBlock& block);
  // Clusters [first, end) of the block in block_, which begins at `base`.
  void MendRun(uint64_t base, uint64_t first, uint64_t end,
               const ReferenceCell& cell);
  // What the count of a cluster should become, if anything else.
  std::optional<uint64_t> TargetOf(uint64_t cluster, uint64_t stored,
                                   uint64_t expected,
                                   const ReferenceCell& cell);
  void SetCount(uint64_t base, uint64_t cluster, uint64_t stored,
                uint64_t target, Problem problem);
  void EndChange();
  const SuspectOrphans& suspects();

  RepairContext& context_;
  const Geometry& geometry_;
  const bool leaks_only_;
  std::optional<SuspectOrphans> suspects_;
  std::vector<std::byte> block_;
  // The counts of block_ that changed: first index and the one behind the last.
  uint64_t dirty_begin_ = 0;
  uint64_t dirty_end_ = 0;
  Change change_;
  bool changed_ = false;
  bool kept_too_high_ = false;
};

const SuspectOrphans& CountMender::suspects() {
  if (!suspects_) suspects_ = SuspectOrphans::Find(context_);
  return *suspects_;
}

std::optional<uint64_t> CountMender::TargetOf(uint64_t cluster, uint64_t stored,
                                              uint64_t expected,
                                              const ReferenceCell& cell) {
  if (stored == expected) return std::nullopt;
  if (stored < expected) {
    // Two owners that should not share are no reason for a higher count.
    const bool overlaps = (cell.flags & checker::kReferenceOverlap) != 0;
    if (leaks_only_ || overlaps) return std::nullopt;
    return expected;
  }
  if (suspects().Contains(cluster)) {
    kept_too_high_ |= expected > 0;
    return std::nullopt;
  }
  return expected;
}

void CountMender::EndChange() {
  if (change_.clusters == 0) return;
  std::string where, before, after;
  if (context_.plan.ListsMore()) {
    checker::Finding place;
    place.location.structure = checker::Structure::kHostCluster;
    place.host =
        checker::HostRun{change_.first_cluster, change_.clusters,
                         change_.first_cluster << geometry_.cluster_bits()};
    where = checker::DescribeWhere(place);
    before = absl::StrCat("refcount ", change_.before);
    after = change_.after == 0 ? std::string("refcount 0 (free)")
                               : absl::StrCat("refcount ", change_.after);
  }
  Edit edit = EditFor(change_.problem, std::move(where), std::move(before),
                      std::move(after));
  edit.count = change_.clusters;
  context_.plan.Add(std::move(edit));
  change_.clusters = 0;
}

void CountMender::SetCount(uint64_t base, uint64_t cluster, uint64_t stored,
                           uint64_t target, Problem problem) {
  const uint64_t index = cluster - base;
  SetRefcount(block_, geometry_.refcount_order(), index, target);
  if (dirty_begin_ == dirty_end_) dirty_begin_ = index;
  dirty_end_ = index + 1;
  const bool continues = change_.clusters > 0 && change_.problem == problem &&
                         change_.first_cluster + change_.clusters == cluster &&
                         change_.before == stored && change_.after == target;
  if (!continues) {
    EndChange();
    change_ = {problem, cluster, 0, stored, target};
  }
  ++change_.clusters;
}

void CountMender::MendRun(uint64_t base, uint64_t first, uint64_t end,
                          const ReferenceCell& cell) {
  const uint32_t order = geometry_.refcount_order();
  const uint64_t expected = std::min(cell.count, geometry_.refcount_max());
  const bool past_end = first >= context_.graph.model.FileClusters();
  uint64_t cluster = first;
  while (cluster < end) {
    cluster = base + checker::RefcountRunEnd(block_, order, cluster - base,
                                             end - base, expected);
    if (cluster >= end) return;
    const uint64_t stored = GetRefcount(block_, order, cluster - base);
    const std::optional<uint64_t> target =
        past_end && expected == 0 ? std::optional<uint64_t>(0)
                                  : TargetOf(cluster, stored, expected, cell);
    if (target) {
      const Problem problem = stored < expected ? Problem::kRefcountTooLow
                              : expected > 0    ? Problem::kRefcountTooHigh
                              : past_end        ? Problem::kRefcountPastEnd
                                                : Problem::kClusterLeaked;
      SetCount(base, cluster, stored, *target, problem);
    }
    ++cluster;
  }
}

absl::Status CountMender::MendBlock(const checker::RefcountBlock& block) {
  block_.resize(geometry_.cluster_size());
  // A block that cannot be read is replaced by another step.
  if (!ReadZeroFilled(context_.view, block.offset_bytes, block_).ok()) {
    return absl::OkStatus();
  }
  dirty_begin_ = dirty_end_ = 0;
  const uint64_t base = block.table_index * geometry_.refcount_block_entries();
  const uint64_t end = base + geometry_.refcount_block_entries();
  // The map reaches a cluster past the end of the file, for data that may end
  // there; all behind that is unreferenced.
  const uint64_t file_end =
      std::clamp(context_.graph.model.FileClusters(), base, end);
  const auto mend = [&](uint64_t first, uint64_t count,
                        const ReferenceCell& cell) {
    MendRun(base, first, first + count, cell);
  };
  context_.graph.map->ForEachRun(base, file_end, mend);
  context_.graph.map->ForEachRun(file_end, end, mend);
  if (dirty_begin_ == dirty_end_) return absl::OkStatus();
  changed_ = true;
  const uint32_t order = geometry_.refcount_order();
  const uint64_t from = (dirty_begin_ << order) / 8;
  const uint64_t to = ((dirty_end_ << order) + 7) / 8;
  return context_.view.Pwrite(block.offset_bytes + from,
                              std::span(block_).subspan(from, to - from));
}

absl::StatusOr<bool> CountMender::Run() {
  for (const checker::RefcountBlock& block : context_.graph.refcounts.blocks) {
    if (!block.readable) continue;
    // A block that is something else as well is not written to.
    const uint64_t cluster = block.offset_bytes >> geometry_.cluster_bits();
    if (context_.graph.map->At(cluster).count != 1) continue;
    RETURN_IF_ERROR(MendBlock(block));
  }
  EndChange();
  // With a lower one, and COPIED, the guest would write there in place.
  if (kept_too_high_) context_.plan.KeepSuspectCounts();
  return changed_;
}

absl::StatusOr<bool> Mend(RepairContext& context, bool leaks_only) {
  if (context.graph.map == nullptr || context.graph.model.refcounts_unknown ||
      !context.report.FoundAny(kCountProblems)) {
    return false;
  }
  return CountMender(context, leaks_only).Run();
}

}  // namespace

absl::StatusOr<bool> MendRefcounts(RepairContext& context) {
  return Mend(context, /*leaks_only=*/false);
}

absl::StatusOr<bool> FreeLeaks(RepairContext& context) {
  return Mend(context, /*leaks_only=*/true);
}

}  // namespace qcow2::repair
