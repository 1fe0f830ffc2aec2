// The refcount table and its blocks.
#include <algorithm>

#include "checker/printable.h"
#include "cli/tool/dump/dump_state.h"
#include "engine/format/refcount_block.h"
#include "engine/format/refcount_table_entry.h"

namespace qcow2::tool {
namespace {

using checker::Hex;

constexpr IssueText kTableIssues[] = {
    {kRefcountTableReservedBitsSet, "reserved bits are set"},
    {kRefcountTableOffsetUnaligned, "not cluster aligned"},
};

TablePlace TableOf(const DumpState& state) {
  const uint64_t bytes = uint64_t{state.header.refcount_table_clusters}
                         << state.geometry->cluster_bits();
  return {state.header.refcount_table_offset.value(),
          bytes / kRefcountTableEntrySize, kRefcountTableEntrySize,
          kMaxRefcountTableBytes / kRefcountTableEntrySize};
}

void TellTableEntry(DumpState& state, uint64_t index, uint64_t count,
                    RefcountTableEntry entry) {
  DumpEntry told;
  told.index = index;
  told.count = count;
  told.offset = TableOf(state).offset + index * kRefcountTableEntrySize;
  told.raw = entry.raw();
  told.meaning = "no block: counts of 0";
  if (entry.has_block()) {
    told.meaning = "refcount block at " + Hex(entry.block_offset().value());
    told.details["block_offset"] = entry.block_offset().value();
  }
  told.details["first_cluster"] = index
                                  << state.geometry->refcount_block_bits();
  const std::string problem = JoinIssues(
      RefcountTableEntryIssues(entry, *state.geometry), kTableIssues);
  if (!problem.empty()) {
    told.meaning += "  ! " + problem;
    told.details["problem"] = problem;
  }
  state.sink.Entry(told);
}

// A run of equal counts; in front of the cluster's index there is no entry of
// its own to show the place of, widths may be less than a byte.
void TellCounts(DumpState& state, uint64_t block, uint64_t table_index,
                uint64_t index, uint64_t count, uint64_t refcount) {
  const Geometry& geometry = *state.geometry;
  const uint64_t first =
      (table_index << geometry.refcount_block_bits()) + index;
  DumpEntry told;
  told.index = index;
  told.count = count;
  told.offset = block + index * geometry.refcount_bits() / 8;
  told.raw = refcount;
  told.meaning = "cluster " + std::to_string(first);
  if (count > 1) told.meaning += " to " + std::to_string(first + count - 1);
  told.meaning += refcount == 0 ? ": free"
                                : ": used " + std::to_string(refcount) +
                                      (refcount == 1 ? " time" : " times");
  told.details["refcount"] = refcount;
  told.details["first_cluster"] = first;
  state.sink.Entry(told);
}

void DumpBlock(DumpState& state, uint64_t table_index, uint64_t offset) {
  const Geometry& geometry = *state.geometry;
  DumpStructure structure;
  structure.kind = "refcount-block";
  structure.title =
      "Refcount block of table entry " + std::to_string(table_index);
  structure.offset = offset;
  structure.length = geometry.cluster_size();
  structure.details["table_index"] = table_index;
  structure.details["refcount_bits"] = geometry.refcount_bits();
  state.sink.Begin(structure);
  const std::vector<std::byte> block =
      ReadBytes(state, offset, geometry.cluster_size());
  if (block.size() < geometry.cluster_size()) {
    state.sink.Problem("the block goes past the end of the file");
  }
  const uint32_t order = geometry.refcount_order();
  const uint64_t entries = RefcountsIn(block.size(), order);
  uint64_t first = 0;
  while (first < entries && !state.sink.stopped()) {
    const uint64_t refcount = GetRefcount(block, order, first);
    uint64_t end = first + 1;
    while (end < entries && GetRefcount(block, order, end) == refcount) ++end;
    TellCounts(state, offset, table_index, first, end - first, refcount);
    first = end;
  }
  state.sink.End();
}

}  // namespace

void DumpRefcountTable(DumpState& state) {
  const TablePlace place = TableOf(state);
  DumpStructure structure;
  structure.kind = "refcount-table";
  structure.title = "Refcount table";
  structure.offset = place.offset;
  structure.length = place.entries * kRefcountTableEntrySize;
  state.sink.Begin(structure);
  TellTable(
      state, place,
      [&](uint64_t index, uint64_t count, std::span<const std::byte> bytes) {
        TellTableEntry(state, index, count,
                       RefcountTableEntry::Decode(bytes.data()));
        return !state.sink.stopped();
      });
  state.sink.End();
}

void DumpRefcountBlocks(DumpState& state) {
  SilentSink silent(state.sink);
  DumpState quiet = WithSink(state, silent);
  // Aligned offsets within the file, each once.
  std::vector<std::pair<uint64_t, uint64_t>> blocks;
  TellTable(
      quiet, TableOf(state),
      [&](uint64_t index, uint64_t, std::span<const std::byte> bytes) {
        const uint64_t offset =
            RefcountTableEntry::Decode(bytes.data()).block_offset().value();
        if (offset != 0 && state.geometry->IsAligned(offset) &&
            offset < state.file_size) {
          blocks.emplace_back(offset, index);
        }
        return true;
      });
  std::sort(blocks.begin(), blocks.end());
  blocks.erase(std::unique(blocks.begin(), blocks.end(),
                           [](const auto& a, const auto& b) {
                             return a.first == b.first;
                           }),
               blocks.end());
  std::sort(blocks.begin(), blocks.end(),
            [](const auto& a, const auto& b) { return a.second < b.second; });
  for (const auto& [offset, index] : blocks) {
    if (state.sink.stopped()) return;
    DumpBlock(state, index, offset);
  }
}

}  // namespace qcow2::tool
