#include "checker/compare_pass.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "checker/hole_finder.h"
#include "checker/refcount_runs.h"
#include "checker/table_walk.h"
#include "engine/format/byte_order.h"
#include "engine/format/header.h"
#include "engine/format/refcount_block.h"

namespace qcow2::checker {
namespace {

// Runs kept for a closer look; what a sane report could list, many times over.
constexpr size_t kMaxRuns = 1 << 16;
// Duplicates of a block stand for clusters of their own. With more of them, or
// more counts in them, than this they are not compared again: a hostile table
// could otherwise make one block stand for millions.
constexpr uint64_t kMaxComparedDuplicates = 1024;
constexpr uint64_t kMaxComparedDuplicateCounts = uint64_t{1} << 26;
// With more bytes of blocks than this, those in holes of the file are not read.
constexpr uint64_t kAskForHolesBytes = uint64_t{1} << 30;

void AppendRun(std::vector<ClusterRun>& runs, uint64_t first, uint64_t count) {
  if (!runs.empty() &&
      runs.back().first_cluster + runs.back().clusters == first) {
    runs.back().clusters += count;
  } else if (runs.size() < kMaxRuns) {
    runs.push_back({first, count});
  }
}

// Judges runs of clusters that have the same references and the same stored
// refcount.
class RunJudge {
 public:
  explicit RunJudge(const CheckState& state)
      : state_(state), geometry_(*state.model.geometry) {}

  // A run inside the file whose count is known.
  void Judge(uint64_t first, uint64_t count, const ReferenceCell& cell,
             uint64_t stored, FindingSink& sink);
  // What concerns the references alone, once for each run of like cells.
  void JudgeCell(uint64_t first, uint64_t count, const ReferenceCell& cell,
                 FindingSink& sink);
  // The same for clusters whose count is not known.
  void JudgeUncounted(uint64_t first, uint64_t count,
                      const ReferenceCell& cell);
  // Clusters that ReferenceMap::PassUsual passed over: nothing to say of them
  // but which is the last in use, and how many are leaked.
  void JudgeUsual(uint64_t first, const UsualClusters& usual,
                  const std::byte* counts, FindingSink& sink);
  // Leaked clusters, none of which carries on a finding, that a block of 1-bit
  // counts counts from cluster `base` on.
  void JudgeLeaksOfABit(uint64_t base, const OnesOfABit& leaks,
                        FindingSink& sink);
  // A run past the end of the file.
  void JudgePastEnd(uint64_t first, uint64_t count, uint64_t stored,
                    FindingSink& sink) const;

  ComparePassResult& result() { return result_; }

 private:
  void Add(Problem problem, uint64_t first, uint64_t count, uint64_t actual,
           std::optional<uint64_t> expected, uint64_t qemu_count,
           FindingSink& sink) const {
    sink.AddClusterRun(problem, first, count, geometry_.cluster_bits(), actual,
                       expected, qemu_count);
  }

  const CheckState& state_;
  const Geometry& geometry_;
  ComparePassResult result_;
};

void RunJudge::JudgeCell(uint64_t first, uint64_t count,
                         const ReferenceCell& cell, FindingSink& sink) {
  if (cell.count > 0) {
    result_.highest_cluster_in_use =
        std::max(result_.highest_cluster_in_use, first + count - 1);
  }
  if (cell.flags & kReferenceOverlap) {
    AppendRun(result_.overlaps, first, count);
  }
  if ((cell.flags & kReferenceCopied) && cell.count > 1) {
    AppendRun(result_.copied_contradictions, first, count);
  }
  if (cell.count > geometry_.refcount_max() &&
      !state_.model.refcounts_unknown) {
    Add(Problem::kRefcountOverflow, first, count, cell.count,
        geometry_.refcount_max(),
        count * (cell.count - geometry_.refcount_max()), sink);
  }
}

void RunJudge::JudgeUncounted(uint64_t first, uint64_t count,
                              const ReferenceCell& cell) {
  if ((cell.flags & kReferenceNotCopied) && cell.count == 1) {
    AppendRun(result_.copied_contradictions, first, count);
  }
}

void RunJudge::Judge(uint64_t first, uint64_t count, const ReferenceCell& cell,
                     uint64_t stored, FindingSink& sink) {
  // COPIED that is clear agrees with a count above one. That the count is too
  // high is a leak, which does no harm, and nothing more is wrong.
  if (stored <= 1) JudgeUncounted(first, count, cell);
  if (stored > 0) {
    result_.highest_cluster_in_use =
        std::max(result_.highest_cluster_in_use, first + count - 1);
  }
  // A count that cannot be stored is reported as such; the best there can be
  // is the largest value.
  const uint64_t expected = std::min(cell.count, geometry_.refcount_max());
  if (stored == expected) return;
  const Problem problem = stored < expected ? Problem::kRefcountTooLow
                          : expected > 0    ? Problem::kRefcountTooHigh
                                            : Problem::kClusterLeaked;
  Add(problem, first, count, stored, expected, count, sink);
}

void RunJudge::JudgeUsual(uint64_t first, const UsualClusters& usual,
                          const std::byte* counts, FindingSink& sink) {
  if (usual.leaked > 0) {
    sink.CountClusterRuns(Problem::kClusterLeaked, usual.leaked_runs,
                          usual.leaked);
  }
  const auto next = std::max(result_.highest_cluster_in_use + 1, first);
  for (uint64_t cluster = usual.end; cluster > next; --cluster) {
    if (LoadBe16(counts + (cluster - 1 - first) * 2) == 0) continue;
    result_.highest_cluster_in_use = cluster - 1;
    return;
  }
}

void RunJudge::JudgeLeaksOfABit(uint64_t base, const OnesOfABit& leaks,
                                FindingSink& sink) {
  if (leaks.counts == 0) return;
  sink.CountClusterRuns(Problem::kClusterLeaked, leaks.runs, leaks.counts);
  result_.highest_cluster_in_use =
      std::max(result_.highest_cluster_in_use, base + leaks.last);
}

void RunJudge::JudgePastEnd(uint64_t first, uint64_t count, uint64_t stored,
                            FindingSink& sink) const {
  if (stored == 0) return;
  Add(Problem::kRefcountPastEnd, first, count, stored, std::nullopt, count,
      sink);
}

// Compares the blocks one thread visits.
class CompareVisitor : public TableVisitor {
 public:
  CompareVisitor(const CheckState& state,
                 const std::vector<const RefcountBlock*>& blocks,
                 const ReferenceMap& map, std::mutex& mutex,
                 std::vector<ComparePassResult>& results)
      : state_(state),
        geometry_(*state.model.geometry),
        blocks_(blocks),
        map_(map),
        mutex_(mutex),
        results_(results),
        judge_(state) {}

  ~CompareVisitor() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    results_.push_back(std::move(judge_.result()));
  }

  void VisitTable(uint64_t index, std::span<const std::byte> bytes,
                  const std::vector<UnreadableRange>& unreadable,
                  FindingSink& sink) override;
  // Not called for many: those that are known to be holes are left to
  // UnreadBlocks, which looks at clusters in use only.
  void VisitHole(uint64_t index, FindingSink& sink) override {
    VisitTable(index, std::vector<std::byte>(geometry_.cluster_size()), {},
               sink);
  }

 private:
  // Compares clusters [first, end), all counted by the block from `base` on.
  void CompareRange(uint64_t base, uint64_t first, uint64_t end,
                    std::span<const std::byte> bytes, FindingSink& sink);
  // Compares a run of like cells.
  void CompareRun(uint64_t base, uint64_t first, uint64_t count,
                  const ReferenceCell& cell, std::span<const std::byte> bytes,
                  FindingSink& sink);
  void ComparePastEnd(uint64_t base, uint64_t first, uint64_t end,
                      std::span<const std::byte> bytes, FindingSink& sink);
  void CompareAround(uint64_t base, uint64_t first, uint64_t end,
                     std::span<const std::byte> bytes,
                     const std::vector<UnreadableRange>& unreadable,
                     const RefcountBlock& block, FindingSink& sink);

  const CheckState& state_;
  const Geometry& geometry_;
  const std::vector<const RefcountBlock*>& blocks_;
  const ReferenceMap& map_;
  std::mutex& mutex_;
  std::vector<ComparePassResult>& results_;
  RunJudge judge_;
};

void CompareVisitor::CompareRange(uint64_t base, uint64_t first, uint64_t end,
                                  std::span<const std::byte> bytes,
                                  FindingSink& sink) {
  const bool usual_width = geometry_.refcount_order() == kRefcountOrderV2;
  while (first < end) {
    if (usual_width) {
      const std::byte* counts = bytes.data() + (first - base) * 2;
      // A million leaks are no more than a number once the report is full.
      const UsualClusters usual = map_.PassUsual(
          first, end, counts, sink.IsFull(Problem::kClusterLeaked));
      judge_.JudgeUsual(first, usual, counts, sink);
      first = usual.end;
      if (first == end) return;
    }
    const uint64_t run_end = map_.RunEnd(first, end);
    CompareRun(base, first, run_end - first, map_.At(first), bytes, sink);
    first = run_end;
  }
}

void CompareVisitor::CompareRun(uint64_t base, uint64_t first, uint64_t count,
                                const ReferenceCell& cell,
                                std::span<const std::byte> bytes,
                                FindingSink& sink) {
  const uint32_t order = geometry_.refcount_order();
  judge_.JudgeCell(first, count, cell, sink);
  uint64_t at = first - base;
  const uint64_t stop = at + count;
  if (count == 1) {
    judge_.Judge(first, 1, cell, GetRefcount(bytes, order, at), sink);
    return;
  }
  // The usual case first: all as it should be.
  const uint64_t expected = std::min(cell.count, geometry_.refcount_max());
  at = RefcountRunEnd(bytes, order, at, stop, expected);
  if (at > first - base) {
    judge_.Judge(first, at - (first - base), cell, expected, sink);
  }
  while (at < stop) {
    // Leaks that do not carry on the last one are no more than a number once
    // the report is full.
    if (at > first - base && order == 0 && cell == ReferenceCell() &&
        sink.IsFull(Problem::kClusterLeaked)) {
      judge_.JudgeLeaksOfABit(base, CountOnesOfABit(bytes, at, stop), sink);
      return;
    }
    const uint64_t stored = GetRefcount(bytes, order, at);
    const uint64_t like_end = RefcountRunEnd(bytes, order, at, stop, stored);
    judge_.Judge(base + at, like_end - at, cell, stored, sink);
    at = like_end;
  }
}

void CompareVisitor::ComparePastEnd(uint64_t base, uint64_t first, uint64_t end,
                                    std::span<const std::byte> bytes,
                                    FindingSink& sink) {
  const uint32_t order = geometry_.refcount_order();
  uint64_t at = first - base;
  const uint64_t stop = end - base;
  while (at < stop) {
    const uint64_t stored = GetRefcount(bytes, order, at);
    const uint64_t like_end = RefcountRunEnd(bytes, order, at, stop, stored);
    judge_.JudgePastEnd(base + at, like_end - at, stored, sink);
    at = like_end;
  }
}

// Leaves out the counts that lie in unreadable sectors.
void CompareVisitor::CompareAround(
    uint64_t base, uint64_t first, uint64_t end,
    std::span<const std::byte> bytes,
    const std::vector<UnreadableRange>& unreadable, const RefcountBlock& block,
    FindingSink& sink) {
  uint64_t next = first;
  for (const UnreadableRange& range : unreadable) {
    const auto count_at = [&](uint64_t offset) {
      return base + RefcountsIn(offset - block.offset_bytes,
                                geometry_.refcount_order());
    };
    const uint64_t bad_first =
        std::clamp(count_at(range.offset_bytes), next, end);
    const uint64_t bad_end = std::clamp(
        count_at(range.offset_bytes + range.length_bytes), bad_first, end);
    CompareRange(base, next, bad_first, bytes, sink);
    next = bad_end;
    // A block may reach into several windows of the map; its bytes are counted
    // in the one where they begin, or the last one.
    const uint64_t begin = count_at(range.offset_bytes);
    const bool last_window = map_.end_cluster() >= state_.model.FileClusters();
    if (begin >= first && (begin < end || last_window)) {
      sink.AddUnreadableBytes(range.length_bytes);
    }
    if (bad_end == bad_first) continue;
    map_.ForEachRun(
        bad_first, bad_end,
        [&](uint64_t run, uint64_t count, const ReferenceCell& cell) {
          judge_.JudgeCell(run, count, cell, sink);
          judge_.JudgeUncounted(run, count, cell);
        });
    Finding finding;
    finding.problem = Problem::kRefcountBlockUnreadable;
    finding.count = 1;
    finding.location.structure = Structure::kRefcountBlock;
    finding.location.table_offset = block.offset_bytes;
    finding.location.index = bad_first - base;
    finding.host = HostRun{bad_first, bad_end - bad_first,
                           bad_first << geometry_.cluster_bits()};
    finding.actual = range.length_bytes;
    finding.expected = bad_end - bad_first;
    finding.detail = range.reason;
    sink.Add(std::move(finding), bad_end - bad_first);
  }
  CompareRange(base, next, end, bytes, sink);
}

void CompareVisitor::VisitTable(uint64_t index,
                                std::span<const std::byte> bytes,
                                const std::vector<UnreadableRange>& unreadable,
                                FindingSink& sink) {
  const RefcountBlock& block = *blocks_[index];
  const uint64_t entries = geometry_.refcount_block_entries();
  const uint64_t base = block.table_index * entries;
  const uint64_t file_clusters = state_.model.FileClusters();
  const uint64_t first = std::max(base, map_.first_cluster());
  // The map reaches one cluster past the end of the file, for data that may
  // end there; with nothing in it, the cluster is like all behind it.
  uint64_t window_end = map_.end_cluster();
  if (window_end > file_clusters && map_.At(file_clusters).count == 0) {
    window_end = file_clusters;
  }
  const uint64_t end = std::min(base + entries, window_end);
  if (first < end) {
    if (unreadable.empty()) {
      CompareRange(base, first, end, bytes, sink);
    } else {
      CompareAround(base, first, end, bytes, unreadable, block, sink);
    }
  }
  // Only the last window of the map reaches the end of the file.
  if (block.duplicate || window_end < file_clusters) return;
  const uint64_t past = std::max(base, window_end);
  if (past < base + entries) {
    ComparePastEnd(base, past, base + entries, bytes, sink);
  }
}

// What a block is to the comparison.
enum class BlockCounts : uint8_t {
  kRead,
  kZeros,    // there are none, or only zeros: not read
  kUnknown,  // nothing can be said of them
};

// Whether the counts of a block that cannot be read are unknown, rather than
// zeros: those of no block at all, or of one past the end of the file.
bool CountsUnknown(const CheckState& state, const RefcountBlock& block) {
  if (block.offset_bytes == 0) return false;
  if (state.options.qemu_compatible &&
      QemuCannotReadBlock(block.offset_bytes, *state.model.geometry)) {
    return true;
  }
  return !block.past_end;
}

// Decides for each of the blocks.
std::vector<BlockCounts> ClassifyBlocks(
    const CheckState& state, const std::vector<RefcountBlock>& blocks) {
  const Geometry& geometry = *state.model.geometry;
  const auto duplicates = static_cast<uint64_t>(std::count_if(
      blocks.begin(), blocks.end(),
      [](const RefcountBlock& block) { return block.duplicate; }));
  const bool many_duplicates =
      duplicates >
      std::min(kMaxComparedDuplicates,
               kMaxComparedDuplicateCounts / geometry.refcount_block_entries());
  const bool ask_for_holes =
      blocks.size() > kAskForHolesBytes / geometry.cluster_size();
  HoleFinder holes(state.reader.file());
  std::vector<BlockCounts> counts;
  counts.reserve(blocks.size());
  for (const RefcountBlock& block : blocks) {
    if (!block.readable) {
      counts.push_back(CountsUnknown(state, block) ? BlockCounts::kUnknown
                                                   : BlockCounts::kZeros);
    } else if (ask_for_holes &&
               holes.IsHole(block.offset_bytes, geometry.cluster_size())) {
      counts.push_back(BlockCounts::kZeros);
    } else {
      counts.push_back(many_duplicates && block.duplicate
                           ? BlockCounts::kUnknown
                           : BlockCounts::kRead);
    }
  }
  return counts;
}

// Clusters in use whose counts are not read from a block: there is none, or
// nothing in it, or it is of no use.
class UnreadBlocks {
 public:
  UnreadBlocks(CheckState& state, const RefcountStructures& structures,
               const std::vector<BlockCounts>& counts, const ReferenceMap& map)
      : state_(state),
        structures_(structures),
        counts_(counts),
        map_(map),
        judge_(state) {}

  ComparePassResult Run();

 private:
  const RefcountBlock* BlockOf(uint64_t table_index) const;
  void CompareRange(uint64_t table_index, uint64_t first, uint64_t end);
  // A block's clusters may come in several chunks: one finding for them all.
  void NoteMissing(uint64_t table_index, uint64_t first, uint64_t in_use);
  void ReportMissing();

  CheckState& state_;
  const RefcountStructures& structures_;
  const std::vector<BlockCounts>& counts_;
  const ReferenceMap& map_;
  RunJudge judge_;
  uint64_t missing_table_index_ = 0;
  uint64_t missing_first_ = 0;
  uint64_t missing_in_use_ = 0;
};

const RefcountBlock* UnreadBlocks::BlockOf(uint64_t table_index) const {
  const auto found = std::lower_bound(
      structures_.blocks.begin(), structures_.blocks.end(), table_index,
      [](const RefcountBlock& block, uint64_t index) {
        return block.table_index < index;
      });
  return found != structures_.blocks.end() && found->table_index == table_index
             ? &*found
             : nullptr;
}

void UnreadBlocks::NoteMissing(uint64_t table_index, uint64_t first,
                               uint64_t in_use) {
  if (missing_in_use_ > 0 && missing_table_index_ == table_index) {
    missing_in_use_ += in_use;
    return;
  }
  ReportMissing();
  missing_table_index_ = table_index;
  missing_first_ = first;
  missing_in_use_ = in_use;
}

void UnreadBlocks::ReportMissing() {
  if (missing_in_use_ == 0) return;
  Finding finding;
  finding.problem = Problem::kRefcountBlockMissing;
  finding.location.structure = Structure::kRefcountTable;
  finding.location.table_offset = state_.model.refcount_table_offset_bytes;
  finding.location.index = missing_table_index_;
  const Geometry& geometry = *state_.model.geometry;
  finding.host = HostRun{missing_first_, missing_in_use_,
                         missing_first_ << geometry.cluster_bits()};
  finding.actual = missing_in_use_;
  state_.sink.Add(std::move(finding));
  missing_in_use_ = 0;
}

void UnreadBlocks::CompareRange(uint64_t table_index, uint64_t first,
                                uint64_t end) {
  const RefcountBlock* block = BlockOf(table_index);
  const BlockCounts counts = block == nullptr
                                 ? BlockCounts::kZeros
                                 : counts_[block - structures_.blocks.data()];
  if (counts == BlockCounts::kRead) return;
  const bool unknown =
      state_.model.refcounts_unknown || counts == BlockCounts::kUnknown;
  uint64_t in_use = 0;
  uint64_t first_in_use = 0;
  map_.ForEachRun(first, end,
                  [&](uint64_t run, uint64_t count, const ReferenceCell& cell) {
                    judge_.JudgeCell(run, count, cell, state_.sink);
                    if (cell.count == 0) return;
                    if (in_use == 0) first_in_use = run;
                    in_use += count;
                    if (unknown) {
                      judge_.JudgeUncounted(run, count, cell);
                    } else {
                      judge_.Judge(run, count, cell, 0, state_.sink);
                    }
                  });
  // No row for a table that is not there at all: the header has one.
  if (block == nullptr && in_use > 0 && !unknown &&
      state_.model.refcount_table_entries > 0) {
    NoteMissing(table_index, first_in_use, in_use);
  }
}

ComparePassResult UnreadBlocks::Run() {
  const uint64_t entries = state_.model.geometry->refcount_block_entries();
  for (const uint64_t chunk : map_.ChunkIndexes()) {
    uint64_t first =
        std::max(chunk * ReferenceMap::kChunkClusters, map_.first_cluster());
    const uint64_t end = std::min((chunk + 1) * ReferenceMap::kChunkClusters,
                                  map_.end_cluster());
    while (first < end) {
      const uint64_t table_index = first / entries;
      const uint64_t stop = std::min(end, (table_index + 1) * entries);
      CompareRange(table_index, first, stop);
      first = stop;
    }
  }
  ReportMissing();
  return std::move(judge_.result());
}

// qemu-img says for each cluster of the file that its count cannot be read
// when the block's offset is not usable.
void CountUnreadableForQemu(CheckState& state,
                            const RefcountStructures& structures,
                            const ReferenceMap& map) {
  const Geometry& geometry = *state.model.geometry;
  const uint64_t entries = geometry.refcount_block_entries();
  for (const RefcountBlock& block : structures.blocks) {
    if (!QemuCannotReadBlock(block.offset_bytes, geometry)) continue;
    const uint64_t base = block.table_index * entries;
    const uint64_t first = std::max(base, map.first_cluster());
    const uint64_t end = std::min(
        {base + entries, map.end_cluster(), state.model.FileClusters()});
    if (first >= end) continue;
    QemuCounts counts;
    counts.check_errors = end - first;
    state.sink.AddQemuCounts(counts);
  }
}

void Merge(ComparePassResult& into, const ComparePassResult& from) {
  into.overlaps.insert(into.overlaps.end(), from.overlaps.begin(),
                       from.overlaps.end());
  into.copied_contradictions.insert(into.copied_contradictions.end(),
                                    from.copied_contradictions.begin(),
                                    from.copied_contradictions.end());
  into.highest_cluster_in_use =
      std::max(into.highest_cluster_in_use, from.highest_cluster_in_use);
}

void SortRuns(std::vector<ClusterRun>& runs) {
  std::sort(runs.begin(), runs.end(),
            [](const ClusterRun& a, const ClusterRun& b) {
              return a.first_cluster < b.first_cluster;
            });
  std::vector<ClusterRun> merged;
  for (const ClusterRun& run : runs) {
    AppendRun(merged, run.first_cluster, run.clusters);
  }
  runs = std::move(merged);
}

}  // namespace

ComparePassResult RunComparePass(CheckState& state,
                                 const RefcountStructures& structures,
                                 const ReferenceMap& map) {
  std::vector<const RefcountBlock*> blocks;
  const std::vector<BlockCounts> counts =
      ClassifyBlocks(state, structures.blocks);
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] != BlockCounts::kRead) continue;
    blocks.push_back(&structures.blocks[i]);
  }
  std::mutex mutex;
  std::vector<ComparePassResult> results;
  TableWalk walk;
  walk.tables = blocks.size();
  walk.table_bytes = state.model.geometry->cluster_size();
  walk.offset_of = [&](uint64_t index) { return blocks[index]->offset_bytes; };
  walk.make_visitor = [&] {
    return std::make_unique<CompareVisitor>(state, blocks, map, mutex, results);
  };
  WalkTables(state, walk);
  if (!state.reader.Cancelled()) {
    results.push_back(UnreadBlocks(state, structures, counts, map).Run());
    if (state.options.qemu_compatible) {
      CountUnreadableForQemu(state, structures, map);
    }
  }
  ComparePassResult result;
  for (const ComparePassResult& part : results) Merge(result, part);
  SortRuns(result.overlaps);
  SortRuns(result.copied_contradictions);
  return result;
}

}  // namespace qcow2::checker
