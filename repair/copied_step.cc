#include "repair/copied_step.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/l2_entry_judge.h"
#include "engine/format/l1_entry.h"
#include "engine/format/l2_entry.h"
#include "engine/format/refcount_block.h"
#include "engine/status_macros.h"
#include "repair/suspect_orphans.h"

namespace qcow2::repair {
namespace {

using checker::Finding;
using checker::L1Table;
using checker::L2Table;
using checker::Problem;
using checker::Structure;

constexpr Problem kCopiedProblems[] = {
    Problem::kL1CopiedWrong, Problem::kL1CopiedMissing, Problem::kL2CopiedWrong,
    Problem::kL2CopiedMissing, Problem::kGuestClusterShared};

constexpr uint64_t kL1PieceBytes = uint64_t{1} << 20;

constexpr std::string_view TextOf(bool copied) {
  return copied ? "COPIED set" : "COPIED clear";
}

// Walks the active tables and mends the flags of each piece of a table it
// reads.
class CopiedMender {
 public:
  // `of_leaks`: flags are only set, and only where the count is too high.
  CopiedMender(RepairContext& context, bool of_leaks)
      : context_(context),
        of_leaks_(of_leaks),
        model_(context.graph.model),
        geometry_(*context.graph.model.geometry) {}

  absl::StatusOr<bool> Run();

 private:
  bool SharesClusters(uint64_t offset, uint64_t bytes) const;
  absl::Status MendL1(const L1Table& table);
  absl::Status MendL2(const L2Table& table);
  // Whether an entry that names the whole cluster at `offset` should have
  // COPIED set; `is` says whether it has.
  bool ShouldBeCopied(uint64_t offset, bool is);
  // Whether the cluster's count is too high and stays so, as damage may share
  // it: with COPIED clear the guest copies it before it writes.
  bool KeepsItsCount(uint64_t cluster);
  // The count that the image has for the cluster; 0 if that cannot be read.
  uint64_t StoredCount(uint64_t cluster);
  // Mends the L1 entries in `bytes`, entry `first` and up. True if any changed.
  bool MendL1Entries(const L1Table& table, uint64_t first,
                     std::span<std::byte> bytes);
  bool MendL2Entry(const L2Table& table, uint64_t index, std::byte* bytes);
  // Tells of a flag that was changed; neighbours that change alike are one
  // edit.
  void Note(Structure structure, uint64_t table, uint64_t index, bool copied);
  void EndRun();

  RepairContext& context_;
  const bool of_leaks_;
  const checker::ImageModel& model_;
  const Geometry& geometry_;
  // The edit that may still grow; none while no flag was changed.
  std::optional<Finding> run_;
  bool run_copied_ = false;
  bool changed_ = false;
  std::optional<SuspectOrphans> suspects_;
  // The refcount block asked for last: the index of its table entry, its bytes.
  std::optional<uint64_t> block_index_;
  std::vector<std::byte> block_;
};

uint64_t CopiedMender::StoredCount(uint64_t cluster) {
  const uint64_t entries = geometry_.refcount_block_entries();
  const uint64_t index = cluster / entries;
  if (block_index_ != index) {
    block_index_ = index;
    block_.assign(geometry_.cluster_size(), std::byte{0});
    const auto& blocks = context_.graph.refcounts.blocks;
    const auto found = std::find_if(
        blocks.begin(), blocks.end(),
        [&](const auto& block) { return block.table_index == index; });
    if (found != blocks.end() && found->readable &&
        !ReadZeroFilled(context_.view, found->offset_bytes, block_).ok()) {
      block_.assign(geometry_.cluster_size(), std::byte{0});
    }
  }
  return GetRefcount(block_, geometry_.refcount_order(), cluster % entries);
}

bool CopiedMender::ShouldBeCopied(uint64_t offset, bool is) {
  const uint64_t cluster = offset >> geometry_.cluster_bits();
  const bool alone = context_.graph.map->At(cluster).count == 1;
  if (is || !alone) return of_leaks_ ? is : alone;
  if (KeepsItsCount(cluster)) return false;
  return !of_leaks_ || StoredCount(cluster) > 1;
}

bool CopiedMender::KeepsItsCount(uint64_t cluster) {
  if (!context_.report.Found(Problem::kRefcountTooHigh)) return false;
  if (!suspects_) suspects_ = SuspectOrphans::Find(context_);
  return suspects_->Contains(cluster) && StoredCount(cluster) > 1;
}

void CopiedMender::Note(Structure structure, uint64_t table, uint64_t index,
                        bool copied) {
  if (run_.has_value() && run_copied_ == copied &&
      run_->location.structure == structure &&
      run_->location.table_offset == table &&
      *run_->location.index + run_->count == index) {
    ++run_->count;
    return;
  }
  EndRun();
  run_.emplace();
  run_->location.structure = structure;
  run_->location.table_offset = table;
  run_->location.index = index;
  run_copied_ = copied;
}

void CopiedMender::EndRun() {
  if (!run_.has_value()) return;
  const bool in_l1 = run_->location.structure == Structure::kActiveL1;
  const Problem missing =
      in_l1 ? Problem::kL1CopiedMissing : Problem::kL2CopiedMissing;
  const Problem wrong =
      in_l1 ? Problem::kL1CopiedWrong : Problem::kL2CopiedWrong;
  Edit edit = EditFor(
      run_copied_ ? missing : wrong, checker::DescribeWhere(*run_),
      std::string(TextOf(!run_copied_)), std::string(TextOf(run_copied_)));
  edit.count = run_->count;
  context_.plan.Add(std::move(edit));
  run_.reset();
}

bool CopiedMender::MendL1Entries(const L1Table& table, uint64_t first,
                                 std::span<std::byte> bytes) {
  bool changed = false;
  for (uint64_t at = 0; at + kL1EntrySize <= bytes.size(); at += kL1EntrySize) {
    const L1Entry entry = L1Entry::Decode(bytes.data() + at);
    const uint64_t offset = entry.l2_offset().value();
    if (offset == 0 || !geometry_.IsAligned(offset) ||
        model_.ReachesPastEnd(offset, geometry_.cluster_size())) {
      continue;
    }
    const bool copied = ShouldBeCopied(offset, entry.copied());
    if (copied == entry.copied()) continue;
    L1Entry(entry.raw() ^ kCopiedFlag).Encode(bytes.data() + at);
    Note(Structure::kActiveL1, table.offset_bytes, first + at / kL1EntrySize,
         copied);
    changed = true;
  }
  return changed;
}

absl::Status CopiedMender::MendL1(const L1Table& table) {
  std::vector<std::byte> piece;
  const uint64_t bytes = table.entries * kL1EntrySize;
  for (uint64_t done = 0; done < bytes; done += piece.size()) {
    const uint64_t offset = table.offset_bytes + done;
    if (offset >= model_.file_size_bytes) break;
    piece.resize(std::min(
        {kL1PieceBytes, bytes - done, model_.file_size_bytes - offset}));
    // What cannot be read stays; the check says so.
    if (!ReadZeroFilled(context_.view, offset, piece).ok()) continue;
    if (!MendL1Entries(table, done / kL1EntrySize, piece)) continue;
    RETURN_IF_ERROR(context_.view.Pwrite(offset, piece));
    changed_ = true;
  }
  return absl::OkStatus();
}

bool CopiedMender::MendL2Entry(const L2Table& table, uint64_t index,
                               std::byte* bytes) {
  const L2Entry entry = L2Entry::Decode(bytes, geometry_);
  if (entry.raw() == 0) return false;
  const checker::EntryReference reference =
      checker::ReferenceOf(model_, entry, /*qemu_compatible=*/false);
  if (!reference.whole_cluster || reference.length_bytes == 0) return false;
  const bool copied = ShouldBeCopied(reference.offset_bytes, entry.copied());
  if (copied == entry.copied()) return false;
  L2Entry(entry.raw() ^ kCopiedFlag, entry.bitmap()).Encode(bytes, geometry_);
  Note(Structure::kActiveL2, table.offset_bytes, index, copied);
  return true;
}

absl::Status CopiedMender::MendL2(const L2Table& table) {
  std::vector<std::byte> bytes(geometry_.cluster_size());
  if (!ReadZeroFilled(context_.view, table.offset_bytes, bytes).ok()) {
    return absl::OkStatus();
  }
  const uint64_t size = geometry_.l2_entry_size();
  uint64_t begin = bytes.size();
  uint64_t end = 0;
  for (uint64_t i = 0; i < geometry_.l2_entries(); ++i) {
    if (!MendL2Entry(table, i, bytes.data() + i * size)) continue;
    begin = std::min(begin, i * size);
    end = (i + 1) * size;
  }
  if (begin >= end) return absl::OkStatus();
  changed_ = true;
  return context_.view.Pwrite(table.offset_bytes + begin,
                              std::span(bytes).subspan(begin, end - begin));
}

// What is written to a table that still shares its clusters is written to the
// other owner as well.
bool CopiedMender::SharesClusters(uint64_t offset, uint64_t bytes) const {
  bool shares = false;
  const uint64_t first = offset >> geometry_.cluster_bits();
  context_.graph.map->ForEachRun(
      first, first + geometry_.ClustersFor(bytes),
      [&](uint64_t, uint64_t, const checker::ReferenceCell& cell) {
        shares |= (cell.flags & checker::kReferenceOverlap) != 0;
      });
  return shares;
}

absl::StatusOr<bool> CopiedMender::Run() {
  for (const L1Table& table : model_.l1_tables) {
    if (!table.active ||
        SharesClusters(table.offset_bytes, table.entries * kL1EntrySize)) {
      continue;
    }
    RETURN_IF_ERROR(MendL1(table));
  }
  for (const L2Table& table : context_.graph.l2_tables) {
    if (!table.active() ||
        SharesClusters(table.offset_bytes, geometry_.cluster_size())) {
      continue;
    }
    RETURN_IF_ERROR(MendL2(table));
  }
  EndRun();
  return changed_;
}

}  // namespace

absl::StatusOr<bool> MendCopiedFlags(RepairContext& context) {
  if (context.graph.map == nullptr ||
      !context.report.FoundAny(kCopiedProblems)) {
    return false;
  }
  return CopiedMender(context, /*of_leaks=*/false).Run();
}

absl::StatusOr<bool> SetCopiedOfLeaks(RepairContext& context) {
  if (context.graph.map == nullptr || context.graph.model.refcounts_unknown ||
      !context.report.Found(Problem::kRefcountTooHigh)) {
    return false;
  }
  return CopiedMender(context, /*of_leaks=*/true).Run();
}

}  // namespace qcow2::repair
