#include "repair/refcount_structure_step.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/printable.h"
#include "engine/format/header.h"
#include "engine/format/refcount_block.h"
#include "engine/format/refcount_table_entry.h"
#include "engine/status_macros.h"
#include "repair/refcount_evidence.h"
#include "repair/stored_refcounts.h"
#include "repair/view_edit.h"

namespace qcow2::repair {
namespace {

using checker::Finding;
using checker::Problem;
using checker::RefcountBlock;
using checker::RepairAction;

// Where a damaged table claims everything there is, a new block meets it again
// wherever it is placed.
constexpr int64_t kMaxPlacements = 4;
constexpr uint64_t kMaxTableEntries =
    kMaxRefcountTableBytes / kRefcountTableEntrySize;

// Decides what is damaged and puts it in order.
class StructureMender {
 public:
  explicit StructureMender(RepairContext& context)
      : context_(context),
        model_(context.graph.model),
        geometry_(*context.graph.model.geometry),
        header_(context.graph.model.header),
        order_(geometry_.refcount_order()) {}

  absl::StatusOr<bool> Run();

 private:
  // Counts in one block, at the width they are going to have.
  uint64_t EntriesPerBlock() const {
    return RefcountsIn(geometry_.cluster_size(), order_);
  }
  // True if the field of the width is the one thing to change in this round.
  absl::StatusOr<bool> ChooseWidth();
  // Finds out whether the table can stay where it is, and why not.
  void JudgeTable();
  void JudgeBlocks();
  bool PlacedInVain(const RefcountBlock& block) const;
  void JudgeBlock(const RefcountBlock& block, StoredRefcounts& stored);
  void FindWantedBlocks();
  // Gives every wanted block that has no sound one a place, and the table if
  // it needs one; what is placed has to be counted, too.
  absl::Status PlaceAll();
  absl::Status PlaceBlock(uint64_t table_index);
  absl::Status PlaceTable();
  uint64_t TableEntriesNeeded() const;
  absl::Status WriteBlocks();
  absl::Status WriteTable();
  // Whether the count stored for the cluster can be taken over.
  bool IsKnown(uint64_t cluster) const {
    return widened_ &&
           !damaged_.contains(cluster / geometry_.refcount_block_entries());
  }
  uint64_t CountToBeginWith(uint64_t cluster) const;
  void AddEdits();
  void AddEdit(Problem problem, uint64_t table_index);

  RepairContext& context_;
  const checker::ImageModel& model_;
  const Geometry& geometry_;
  Header header_;
  uint32_t order_;
  bool widened_ = false;
  std::optional<Problem> table_damage_;
  // By table index: blocks that stay.
  std::map<uint64_t, uint64_t> sound_;
  // By table index: what is wrong with the entry or its block.
  std::map<uint64_t, Problem> damaged_;
  // Table indexes that need a block and have none.
  std::set<uint64_t> wanted_;
  // By table index: where the new blocks are.
  std::map<uint64_t, uint64_t> placed_;
  uint64_t table_offset_ = 0;
  uint64_t table_entries_ = 0;
};

void StructureMender::JudgeTable() {
  table_offset_ = model_.refcount_table_offset_bytes;
  table_entries_ = model_.refcount_table_entries;
  for (const Problem problem :
       {Problem::kRefcountTableUnaligned, Problem::kRefcountTablePastEnd,
        Problem::kRefcountTableTooLarge, Problem::kRefcountTableMissing}) {
    if (context_.report.Found(problem)) table_damage_ = problem;
  }
  for (const Finding& finding : context_.report.problems) {
    if (finding.problem == Problem::kRangeUnreadable &&
        finding.location.structure == checker::Structure::kRefcountTable) {
      table_damage_ = finding.problem;
    }
  }
  if (table_damage_ || table_entries_ == 0) return;
  const uint64_t bytes = table_entries_ * kRefcountTableEntrySize;
  const uint64_t first = table_offset_ >> geometry_.cluster_bits();
  context_.graph.map->ForEachRun(
      first, first + geometry_.ClustersFor(bytes),
      [&](uint64_t, uint64_t, const checker::ReferenceCell& cell) {
        if ((cell.flags & checker::kReferenceOverlap) != 0 &&
            !context_.free_clusters.IsGiven(first)) {
          table_damage_ = Problem::kOverlapMetadata;
        }
      });
}

// Whether the block was placed in an earlier round, and places for it were
// taken by something else so often that there seems to be no better one.
bool StructureMender::PlacedInVain(const RefcountBlock& block) const {
  const auto found = context_.placed_blocks.find(block.offset_bytes);
  if (found == context_.placed_blocks.end() ||
      found->second != block.table_index) {
    return false;
  }
  const auto tries = std::count_if(
      context_.placed_blocks.begin(), context_.placed_blocks.end(),
      [&](const auto& placed) { return placed.second == block.table_index; });
  return tries >= kMaxPlacements;
}

void StructureMender::JudgeBlock(const RefcountBlock& block,
                                 StoredRefcounts& stored) {
  const uint64_t index = block.table_index;
  const uint64_t cluster = block.offset_bytes >> geometry_.cluster_bits();
  if (!block.readable) {
    damaged_[index] = block.past_end ? Problem::kRefcountBlockPastEnd
                                     : Problem::kRefcountBlockUnaligned;
  } else if (block.duplicate) {
    damaged_[index] = Problem::kRefcountBlockDuplicate;
  } else if (context_.graph.map->At(cluster).count > 1) {
    if (PlacedInVain(block)) {
      sound_[index] = block.offset_bytes;
    } else {
      damaged_[index] = Problem::kRefcountBlockShared;
    }
  } else {
    const uint64_t base = index * geometry_.refcount_block_entries();
    const std::span<const std::byte> bytes = stored.BlockOf(base);
    if (bytes.empty()) {
      damaged_[index] = Problem::kRefcountBlockUnreadable;
    } else if (!CouldBeRefcountBlock(context_.graph, base, bytes)) {
      damaged_[index] = Problem::kRefcountTooLow;
    } else {
      sound_[index] = block.offset_bytes;
    }
  }
}

void StructureMender::JudgeBlocks() {
  StoredRefcounts stored(context_.graph, context_.view);
  for (const RefcountBlock& block : context_.graph.refcounts.blocks) {
    JudgeBlock(block, stored);
  }
  for (const Finding& finding : context_.report.problems) {
    if (finding.problem != Problem::kRefcountTableEntryReserved) continue;
    const uint64_t first = finding.location.index.value_or(0);
    for (uint64_t i = first; i < first + finding.count; ++i) {
      sound_.erase(i);
      damaged_[i] = finding.problem;
    }
  }
  if (widened_) sound_.clear();
}

void StructureMender::FindWantedBlocks() {
  const uint64_t entries = EntriesPerBlock();
  for (const uint64_t chunk : context_.graph.map->ChunkIndexes()) {
    const uint64_t first = chunk * checker::ReferenceMap::kChunkClusters;
    context_.graph.map->ForEachRun(
        first, first + checker::ReferenceMap::kChunkClusters,
        [&](uint64_t run, uint64_t count, const checker::ReferenceCell& cell) {
          if (cell.count == 0) return;
          for (uint64_t i = run / entries; i <= (run + count - 1) / entries;
               ++i) {
            if (!sound_.contains(i)) wanted_.insert(i);
          }
        });
  }
}

uint64_t StructureMender::TableEntriesNeeded() const {
  uint64_t needed = 0;
  if (!sound_.empty()) needed = sound_.rbegin()->first + 1;
  if (!wanted_.empty()) needed = std::max(needed, *wanted_.rbegin() + 1);
  if (!placed_.empty()) needed = std::max(needed, placed_.rbegin()->first + 1);
  return needed;
}

absl::Status StructureMender::PlaceBlock(uint64_t table_index) {
  ASSIGN_OR_RETURN(
      const uint64_t offset,
      context_.free_clusters.Allocate(context_.graph, 1, context_.view));
  placed_[table_index] = offset;
  context_.placed_blocks[offset] = table_index;
  const uint64_t counted_by =
      (offset >> geometry_.cluster_bits()) / EntriesPerBlock();
  if (!sound_.contains(counted_by) && !placed_.contains(counted_by)) {
    wanted_.insert(counted_by);
  }
  return absl::OkStatus();
}

absl::Status StructureMender::PlaceTable() {
  // One more than needed: the table's own clusters may want another block.
  const uint64_t bytes = (TableEntriesNeeded() + 1) * kRefcountTableEntrySize;
  const uint64_t clusters = geometry_.ClustersFor(bytes);
  table_entries_ =
      (clusters << geometry_.cluster_bits()) / kRefcountTableEntrySize;
  ASSIGN_OR_RETURN(table_offset_, context_.free_clusters.Allocate(
                                      context_.graph, clusters, context_.view));
  const uint64_t first = table_offset_ >> geometry_.cluster_bits();
  for (uint64_t i = first / EntriesPerBlock();
       i <= (first + clusters - 1) / EntriesPerBlock(); ++i) {
    if (!sound_.contains(i) && !placed_.contains(i)) wanted_.insert(i);
  }
  return absl::OkStatus();
}

absl::Status StructureMender::PlaceAll() {
  bool table_placed = !table_damage_.has_value();
  for (;;) {
    while (!wanted_.empty()) {
      const uint64_t index = *wanted_.begin();
      if (index >= kMaxTableEntries) {
        return absl::ResourceExhaustedError(absl::StrCat(
            "refcount table: an entry ", index,
            " is needed, more than the format's limit of ", kMaxTableEntries));
      }
      wanted_.erase(wanted_.begin());
      RETURN_IF_ERROR(PlaceBlock(index));
    }
    if (table_placed && TableEntriesNeeded() <= table_entries_) {
      return absl::OkStatus();
    }
    if (!table_damage_) table_damage_ = Problem::kRefcountBlockMissing;
    RETURN_IF_ERROR(PlaceTable());
    table_placed = true;
  }
}

// Where the stored count is not known.
uint64_t StructureMender::CountToBeginWith(uint64_t cluster) const {
  const checker::ReferenceCell cell = context_.graph.map->At(cluster);
  // Two owners that should not share are no reason for a higher count.
  if ((cell.flags & checker::kReferenceOverlap) != 0) return 1;
  // What looks unused may be what a damaged entry used to name.
  if (cell.count == 0 && model_.references_incomplete) return 1;
  return cell.count;
}

// New blocks begin with the counts that were stored before, as far as they can
// be known: they are corrected in a later step, by the rules for leaks.
absl::Status StructureMender::WriteBlocks() {
  StoredRefcounts stored(context_.graph, context_.view);
  std::vector<std::byte> bytes(geometry_.cluster_size());
  const uint64_t max = ~uint64_t{0} >> (64 - (uint64_t{1} << order_));
  for (const auto& [index, offset] : placed_) {
    std::fill(bytes.begin(), bytes.end(), std::byte{0});
    const uint64_t base = index * EntriesPerBlock();
    const uint64_t end =
        std::min(base + EntriesPerBlock(), model_.FileClusters());
    for (uint64_t cluster = base; cluster < end; ++cluster) {
      uint64_t count = CountToBeginWith(cluster);
      if (IsKnown(cluster)) count = stored.At(cluster).value_or(0);
      count = std::min(count, max);
      if (count != 0) SetRefcount(bytes, order_, cluster - base, count);
    }
    RETURN_IF_ERROR(context_.view.Pwrite(offset, bytes));
  }
  return absl::OkStatus();
}

void StructureMender::AddEdit(Problem problem, uint64_t table_index) {
  Edit edit;
  edit.problem = problem;
  edit.action = widened_ ? RepairAction::kWidenRefcounts
                         : RepairAction::kRebuildRefcounts;
  if (context_.plan.ListsMore()) {
    Finding place;
    place.location.structure = checker::Structure::kRefcountTable;
    place.location.index = table_index;
    edit.where = checker::DescribeWhere(place);
    edit.before = problem == Problem::kRefcountBlockMissing
                      ? std::string("no refcount block")
                      : std::string("a refcount block that cannot be used");
    const auto placed = placed_.find(table_index);
    edit.after = placed == placed_.end()
                     ? std::string("no refcount block, none is needed")
                     : absl::StrCat("a new refcount block at ",
                                    checker::Hex(placed->second));
  }
  context_.plan.Add(std::move(edit));
}

void StructureMender::AddEdits() {
  if (!widened_) {
    for (const auto& [index, problem] : damaged_) AddEdit(problem, index);
  }
  for (const auto& [index, offset] : placed_) {
    if (widened_) {
      AddEdit(Problem::kRefcountOverflow, index);
    } else if (!damaged_.contains(index)) {
      AddEdit(Problem::kRefcountBlockMissing, index);
    }
  }
}

absl::Status StructureMender::WriteTable() {
  std::map<uint64_t, uint64_t> entries = placed_;
  const bool new_table = table_damage_.has_value();
  if (new_table) {
    RETURN_IF_ERROR(WriteZeros(context_.view, table_offset_,
                               table_entries_ * kRefcountTableEntrySize));
    entries.insert(sound_.begin(), sound_.end());
  } else {
    for (const auto& [index, problem] : damaged_) entries.try_emplace(index, 0);
  }
  for (const auto& [index, offset] : entries) {
    RETURN_IF_ERROR(WriteRefcountTableEntry(context_.view, table_offset_, index,
                                            RefcountTableEntry(offset)));
  }
  if (!new_table && !widened_) return absl::OkStatus();
  context_.plan.Add(
      {*table_damage_,
       widened_ ? RepairAction::kWidenRefcounts
                : RepairAction::kRebuildRefcounts,
       "header, refcount table",
       absl::StrCat("at ", checker::Hex(header_.refcount_table_offset.value()),
                    ", ", header_.refcount_table_clusters, " clusters"),
       absl::StrCat("a new table at ", checker::Hex(table_offset_)), 1});
  header_.refcount_table_offset = HostOffset(table_offset_);
  header_.refcount_table_clusters = static_cast<uint32_t>(
      table_entries_ * kRefcountTableEntrySize >> geometry_.cluster_bits());
  header_.refcount_order = order_;
  return WriteHeader(context_.view, header_);
}

absl::StatusOr<bool> StructureMender::ChooseWidth() {
  if (context_.report.Found(Problem::kRefcountOrder)) {
    const uint32_t before = header_.refcount_order;
    header_.refcount_order = LikelyRefcountOrder(context_.graph, context_.view);
    context_.plan.Add({Problem::kRefcountOrder,
                       RepairAction::kRewriteHeaderField,
                       "header, refcount_order", absl::StrCat(before),
                       absl::StrCat(header_.refcount_order), 1});
    RETURN_IF_ERROR(WriteHeader(context_.view, header_));
    return true;
  }
  if (!context_.report.Found(Problem::kRefcountOverflow)) {
    return false;
  }
  const uint32_t wanted = RefcountOrderNeeded(context_.graph);
  if (wanted <= order_) return false;
  if (header_.version < 3) {
    context_.plan.AddNote(
        "a count is more than 16 bits can hold, and version 2 has no wider "
        "ones: it stays");
    return false;
  }
  order_ = wanted;
  widened_ = true;
  table_damage_ = Problem::kRefcountOverflow;
  context_.plan.AddNote(absl::StrCat("refcounts are widened from ",
                                     geometry_.refcount_bits(), " to ",
                                     uint64_t{1} << order_, " bits"));
  return false;
}

absl::StatusOr<bool> StructureMender::Run() {
  ASSIGN_OR_RETURN(const bool width_changed, ChooseWidth());
  if (width_changed) return true;
  JudgeTable();
  if (widened_) table_damage_ = Problem::kRefcountOverflow;
  JudgeBlocks();
  FindWantedBlocks();
  const bool entries_to_mend =
      !damaged_.empty() || !wanted_.empty() || table_damage_.has_value();
  if (!entries_to_mend) return false;
  const absl::Status placed = PlaceAll();
  // Without room the damage stays as it is, and is reported.
  if (absl::IsResourceExhausted(placed)) {
    context_.plan.AddReasonToStay(std::string(placed.message()));
    return false;
  }
  RETURN_IF_ERROR(placed);
  RETURN_IF_ERROR(WriteBlocks());
  AddEdits();
  RETURN_IF_ERROR(WriteTable());
  return true;
}

// Where a table ends is not known: whatever is placed may be inside it.
constexpr Problem kExtentUnknown[] = {
    Problem::kL1TableTooLarge, Problem::kSnapshotCount,
    Problem::kSnapshotTablePastEnd, Problem::kSnapshotUnparseable,
    Problem::kSnapshotTableTooLarge};

bool AnyStructureMayBeWrong(const checker::CheckReport& report) {
  return std::any_of(
      report.problems.begin(), report.problems.end(),
      [](const Finding& finding) {
        const checker::ProblemRow& row = checker::RowOf(finding.problem);
        return row.area == checker::Area::kRefcount ||
               row.area == checker::Area::kOverlap ||
               row.action == RepairAction::kRebuildRefcounts ||
               finding.problem == Problem::kRefcountTableTooLarge ||
               finding.problem == Problem::kRangeUnreadable;
      });
}

}  // namespace

absl::StatusOr<bool> MendRefcountStructures(RepairContext& context) {
  if (context.graph.map == nullptr || context.report.FoundAny(kExtentUnknown) ||
      !AnyStructureMayBeWrong(context.report)) {
    return false;
  }
  return StructureMender(context).Run();
}

}  // namespace qcow2::repair
