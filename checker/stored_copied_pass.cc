#include "checker/stored_copied_pass.h"

#include <algorithm>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "checker/hole_finder.h"
#include "checker/l2_scan.h"
#include "checker/refcount_runs.h"
#include "engine/format/l1_entry.h"
#include "engine/format/refcount_block.h"

namespace qcow2::checker {
namespace {

constexpr uint64_t kCacheBytes = 4 << 20;
// Bytes of an L2 table read at a time, unless they lie in a hole.
constexpr uint64_t kPieceBytes = uint64_t{64} << 10;
// Bytes of L2 tables that are gone through again, entry by entry, because
// another L1 entry names them: a hostile L1 table can name one table millions
// of times. After that what was found the first time is counted again.
constexpr uint64_t kMaxRepeatedBytes = uint64_t{64} << 20;
// L2 tables of which it is remembered what was found.
constexpr size_t kMaxRemembered = size_t{1} << 18;

// Stored refcounts by cluster, through a small cache of refcount blocks.
class StoredRefcounts {
 public:
  StoredRefcounts(const CheckState& state, const RefcountStructures& structures)
      : state_(state), geometry_(*state.model.geometry) {
    for (const RefcountBlock& block : structures.blocks) {
      offsets_[block.table_index] = block.offset_bytes;
    }
  }

  // Clusters one after the other with the same count.
  struct Run {
    uint64_t clusters = 0;
    // Nothing where qemu-img cannot read the count either.
    std::optional<uint64_t> count;
  };
  // The run that begins with `cluster`, or what is easily seen of it: at least
  // one cluster and at most `limit`.
  Run RunFrom(uint64_t cluster, uint64_t limit);
  std::optional<uint64_t> Get(uint64_t cluster) {
    return RunFrom(cluster, 1).count;
  }

 private:
  const std::vector<std::byte>& BlockAt(uint64_t offset);

  const CheckState& state_;
  const Geometry& geometry_;
  absl::flat_hash_map<uint64_t, uint64_t> offsets_;  // by table index
  std::list<std::pair<uint64_t, std::vector<std::byte>>>
      blocks_;  // newest first
  absl::flat_hash_map<uint64_t, decltype(blocks_)::iterator> cached_;
};

const std::vector<std::byte>& StoredRefcounts::BlockAt(uint64_t offset) {
  const auto found = cached_.find(offset);
  if (found != cached_.end()) {
    blocks_.splice(blocks_.begin(), blocks_, found->second);
    return blocks_.front().second;
  }
  const uint64_t capacity =
      std::max<uint64_t>(2, kCacheBytes / geometry_.cluster_size());
  if (blocks_.size() >= capacity) {
    cached_.erase(blocks_.back().first);
    blocks_.pop_back();
  }
  blocks_.emplace_front(offset,
                        std::vector<std::byte>(geometry_.cluster_size()));
  state_.reader.Read(offset, blocks_.front().second);
  cached_[offset] = blocks_.begin();
  return blocks_.front().second;
}

StoredRefcounts::Run StoredRefcounts::RunFrom(uint64_t cluster,
                                              uint64_t limit) {
  const uint64_t entries = geometry_.refcount_block_entries();
  const uint64_t first = cluster % entries;
  const uint64_t end = std::min(first + limit, entries);
  const auto found = offsets_.find(cluster / entries);
  if (found == offsets_.end() || found->second == 0) return {end - first, 0};
  if (QemuCannotReadBlock(found->second, geometry_)) {
    return {end - first, std::nullopt};
  }
  const std::vector<std::byte>& block = BlockAt(found->second);
  const uint32_t order = geometry_.refcount_order();
  const uint64_t count = GetRefcount(block, order, first);
  return {RefcountRunEnd(block, order, first, end, count) - first, count};
}

class StoredCopiedPass {
 public:
  StoredCopiedPass(CheckState& state, const RefcountStructures& structures)
      : state_(state),
        geometry_(*state.model.geometry),
        rules_(ScanRulesOf(state)),
        refcounts_(state, structures),
        holes_(state.reader.file()) {}

  void VisitActiveTable(uint32_t l1_table);

 private:
  // How many entries of an L2 table are wrong.
  struct Tally {
    uint32_t copied_wrong = 0;
    uint32_t copied_missing = 0;
  };

  // Takes what the scan of a piece of an L2 table tells.
  struct PieceVisitor {
    void OnRun(const L2Run& run) {
      pass.VisitRun(table, first + run.first_index,
                    run.host_offset_bytes >> pass.geometry_.cluster_bits(),
                    run.entries, run.copied, tally);
    }
    void OnOdd(uint64_t index, L2Entry entry) {
      pass.VisitOddEntry(table, first + index, entry, tally);
    }

    StoredCopiedPass& pass;
    const L2Table& table;
    uint64_t first;  // index of the piece's first entry
    Tally& tally;
  };

  void VisitL1Entry(uint32_t l1_table, uint64_t index, L1Entry entry);
  // The L2 table, or what is known of it.
  void FollowTo(const L2Table& table);
  Tally VisitL2Table(const L2Table& table);
  // Entries from `index` on, which name `clusters` clusters from `cluster` on.
  void VisitRun(const L2Table& table, uint64_t index, uint64_t cluster,
                uint64_t clusters, bool copied, Tally& tally);
  void VisitOddEntry(const L2Table& table, uint64_t index, L2Entry entry,
                     Tally& tally);
  void Report(const L2Table& table, uint64_t index, uint64_t offset,
              bool copied, uint64_t stored, Tally& tally);
  void CountAgain(const L2Table& table, Problem problem, uint64_t count);

  CheckState& state_;
  const Geometry& geometry_;
  const L2ScanRules rules_;
  StoredRefcounts refcounts_;
  HoleFinder holes_;
  absl::flat_hash_map<uint64_t, Tally> tallies_;  // by the table's offset
  uint64_t repeated_bytes_ = 0;
  std::vector<std::byte> piece_;
};

void StoredCopiedPass::Report(const L2Table& table, uint64_t index,
                              uint64_t offset, bool copied, uint64_t stored,
                              Tally& tally) {
  ++(copied ? tally.copied_wrong : tally.copied_missing);
  Finding finding;
  finding.problem =
      copied ? Problem::kL2CopiedWrong : Problem::kL2CopiedMissing;
  finding.location = LocationOf(state_.model, table, index);
  finding.guest.push_back(GuestRangeOf(state_.model, table, index, 1));
  finding.actual = offset;
  finding.expected = stored;
  state_.sink.Add(std::move(finding));
}

void StoredCopiedPass::VisitRun(const L2Table& table, uint64_t index,
                                uint64_t cluster, uint64_t clusters,
                                bool copied, Tally& tally) {
  while (clusters > 0) {
    const StoredRefcounts::Run run = refcounts_.RunFrom(cluster, clusters);
    const bool wrong = run.count.has_value() && copied != (*run.count == 1);
    for (uint64_t i = 0; wrong && i < run.clusters; ++i) {
      Report(table, index + i, (cluster + i) << geometry_.cluster_bits(),
             copied, *run.count, tally);
    }
    index += run.clusters;
    cluster += run.clusters;
    clusters -= run.clusters;
  }
}

void StoredCopiedPass::VisitOddEntry(const L2Table& table, uint64_t index,
                                     L2Entry entry, Tally& tally) {
  const ImageModel& model = state_.model;
  const L2EntryType type = TypeOf(entry, geometry_, model.external_data_file);
  if (type != L2EntryType::kNormal && type != L2EntryType::kZeroAllocated) {
    return;
  }
  const uint64_t offset = entry.host_offset().value();
  const std::optional<uint64_t> stored =
      model.external_data_file
          ? std::optional<uint64_t>(1)
          : refcounts_.Get(offset >> geometry_.cluster_bits());
  if (!stored.has_value() || entry.copied() == (*stored == 1)) return;
  Report(table, index, offset, entry.copied(), *stored, tally);
}

StoredCopiedPass::Tally StoredCopiedPass::VisitL2Table(const L2Table& table) {
  const uint64_t entry_size = geometry_.l2_entry_size();
  const uint64_t table_bytes = geometry_.cluster_size();
  Tally tally;
  for (uint64_t done = 0; done < table_bytes; done += piece_.size()) {
    const uint64_t offset = table.offset_bytes + done;
    piece_.resize(std::min(kPieceBytes, table_bytes));
    if (holes_.IsHole(offset, piece_.size())) continue;
    state_.reader.Read(offset, piece_);
    PieceVisitor visitor{*this, table, done / entry_size, tally};
    ScanL2Table(piece_, rules_, visitor);
  }
  return tally;
}

void StoredCopiedPass::CountAgain(const L2Table& table, Problem problem,
                                  uint64_t count) {
  if (count == 0) return;
  Finding finding;
  finding.problem = problem;
  finding.count = count;
  finding.location = LocationOf(state_.model, table, 0);
  finding.guest.push_back(
      GuestRangeOf(state_.model, table, 0, geometry_.l2_entries()));
  state_.sink.Add(std::move(finding));
}

void StoredCopiedPass::FollowTo(const L2Table& table) {
  if (table.offset_bytes >= state_.model.file_size_bytes ||
      holes_.IsHole(table.offset_bytes, geometry_.cluster_size())) {
    return;
  }
  const auto known = tallies_.find(table.offset_bytes);
  if (known == tallies_.end()) {
    const Tally tally = VisitL2Table(table);
    if (tallies_.size() < kMaxRemembered) tallies_[table.offset_bytes] = tally;
  } else if (repeated_bytes_ < kMaxRepeatedBytes) {
    repeated_bytes_ += geometry_.cluster_size();
    VisitL2Table(table);
  } else {
    CountAgain(table, Problem::kL2CopiedWrong, known->second.copied_wrong);
    CountAgain(table, Problem::kL2CopiedMissing, known->second.copied_missing);
  }
}

void StoredCopiedPass::VisitL1Entry(uint32_t l1_table, uint64_t index,
                                    L1Entry entry) {
  const uint64_t offset = entry.l2_offset().value();
  if (offset == 0) return;
  const std::optional<uint64_t> stored =
      refcounts_.Get(offset >> geometry_.cluster_bits());
  if (!stored.has_value()) return;
  L2Table table;
  table.offset_bytes = offset;
  table.references = 1;
  table.active_references = 1;
  table.l1_table = l1_table;
  table.l1_index = static_cast<uint32_t>(index);
  if (entry.copied() != (*stored == 1)) {
    Finding finding;
    finding.problem =
        entry.copied() ? Problem::kL1CopiedWrong : Problem::kL1CopiedMissing;
    finding.location.structure = Structure::kActiveL1;
    finding.location.table_offset =
        state_.model.l1_tables[l1_table].offset_bytes;
    finding.location.index = index;
    finding.guest.push_back(
        GuestRangeOf(state_.model, table, 0, geometry_.l2_entries()));
    finding.actual = *stored;
    finding.expected = 1;
    state_.sink.Add(std::move(finding));
  }
  FollowTo(table);
}

void StoredCopiedPass::VisitActiveTable(uint32_t l1_table) {
  ForEachL1Entry(state_, state_.model.l1_tables[l1_table],
                 [&](uint64_t index, L1Entry entry) {
                   VisitL1Entry(l1_table, index, entry);
                 });
}

}  // namespace

void RunStoredCopiedPass(CheckState& state,
                         const RefcountStructures& structures) {
  StoredCopiedPass pass(state, structures);
  for (uint32_t i = 0; i < state.model.l1_tables.size(); ++i) {
    if (state.model.l1_tables[i].active) pass.VisitActiveTable(i);
  }
}

}  // namespace qcow2::checker
