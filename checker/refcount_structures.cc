#include "checker/refcount_structures.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/format/refcount_table_entry.h"

namespace qcow2::checker {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{256} * 1024;

Finding MakeFinding(const CheckState& state, Problem problem,
                    const RefcountBlock& block, uint64_t actual) {
  Finding finding;
  finding.problem = problem;
  finding.location.structure = Structure::kRefcountTable;
  finding.location.table_offset = state.model.refcount_table_offset_bytes;
  finding.location.index = block.table_index;
  finding.actual = actual;
  return finding;
}

HostRun HostRunOf(const CheckState& state, const RefcountBlock& block) {
  return HostRun{block.offset_bytes >> state.model.geometry->cluster_bits(), 1,
                 block.offset_bytes};
}

// Judges one entry and says how far its block is of use.
RefcountBlock JudgeEntry(CheckState& state, uint32_t table_index,
                         RefcountTableEntry entry) {
  const Geometry& geometry = *state.model.geometry;
  RefcountBlock block;
  block.table_index = table_index;
  block.offset_bytes = entry.block_offset().value();
  const bool aligned = geometry.IsAligned(block.offset_bytes);
  block.past_end = (block.offset_bytes >> geometry.cluster_bits()) >=
                   state.model.FileClusters();
  block.readable = aligned && !block.past_end && block.offset_bytes != 0;
  block.counted = block.readable;
  if (entry.reserved_bits() != 0) {
    state.sink.Add(MakeFinding(state, Problem::kRefcountTableEntryReserved,
                               block, entry.raw()));
    // qemu-img reads the counts all the same, but does not count the block.
    if (state.options.qemu_compatible) block.counted = false;
  } else if (!aligned) {
    state.sink.Add(MakeFinding(state, Problem::kRefcountBlockUnaligned, block,
                               block.offset_bytes));
  } else if (block.past_end) {
    Finding finding = MakeFinding(state, Problem::kRefcountBlockPastEnd, block,
                                  block.offset_bytes);
    finding.expected = state.model.file_size_bytes;
    state.sink.Add(std::move(finding));
  }
  return block;
}

void ReadEntries(CheckState& state, RefcountStructures& structures) {
  const uint64_t table = state.model.refcount_table_offset_bytes;
  const uint64_t bytes =
      state.model.refcount_table_entries * kRefcountTableEntrySize;
  std::vector<std::byte> piece;
  for (uint64_t done = 0; done < bytes; done += piece.size()) {
    if (state.reader.Cancelled()) return;
    if (table + done >= state.model.file_size_bytes) return;
    piece.resize(std::min(kPieceBytes, bytes - done));
    for (const UnreadableRange& range :
         state.reader.Read(table + done, piece)) {
      Finding finding;
      finding.problem = Problem::kRangeUnreadable;
      finding.location.structure = Structure::kRefcountTable;
      finding.location.table_offset = table;
      finding.location.index =
          (range.offset_bytes - table) / kRefcountTableEntrySize;
      finding.actual = range.length_bytes;
      finding.expected = range.offset_bytes;
      finding.detail = range.reason;
      state.sink.Add(std::move(finding));
      state.sink.AddUnreadableBytes(range.length_bytes);
    }
    for (uint64_t at = 0; at < piece.size(); at += kRefcountTableEntrySize) {
      const auto entry = RefcountTableEntry::Decode(piece.data() + at);
      if (entry.raw() == 0) continue;
      structures.blocks.push_back(JudgeEntry(
          state, static_cast<uint32_t>((done + at) / kRefcountTableEntrySize),
          entry));
    }
  }
}

// Marks entries that name a block named before, and reports them.
void FindDuplicates(CheckState& state, RefcountStructures& structures) {
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < structures.blocks.size(); ++i) {
    if (structures.blocks[i].counted) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return std::pair(structures.blocks[a].offset_bytes, a) <
           std::pair(structures.blocks[b].offset_bytes, b);
  });
  for (size_t i = 0; i < order.size();) {
    size_t end = i + 1;
    const RefcountBlock& first = structures.blocks[order[i]];
    while (end < order.size() &&
           structures.blocks[order[end]].offset_bytes == first.offset_bytes) {
      RefcountBlock& again = structures.blocks[order[end]];
      again.duplicate = true;
      Finding finding = MakeFinding(state, Problem::kRefcountBlockDuplicate,
                                    again, again.offset_bytes);
      finding.expected = first.table_index;
      finding.host = HostRunOf(state, again);
      // With counts of one bit qemu-img reports the overflow instead.
      state.sink.Add(std::move(finding),
                     state.model.geometry->refcount_max() == 1 ? 0 : 1);
      ++end;
    }
    if (end - i > 1) {
      structures.named_repeatedly.emplace_back(first.offset_bytes, end - i);
    }
    i = end;
  }
}

uint64_t TimesNamed(const RefcountStructures& structures, uint64_t offset) {
  const auto found = std::lower_bound(structures.named_repeatedly.begin(),
                                      structures.named_repeatedly.end(),
                                      std::pair(offset, uint64_t{0}));
  return found != structures.named_repeatedly.end() && found->first == offset
             ? found->second
             : 1;
}

}  // namespace

RefcountStructures ReadRefcountStructures(CheckState& state) {
  RefcountStructures structures;
  ReadEntries(state, structures);
  FindDuplicates(state, structures);
  return structures;
}

void AddRefcountBlocks(const CheckState& state,
                       const RefcountStructures& structures,
                       ReferenceMap& map) {
  ReferenceMap::Writer writer(map);
  const uint32_t cluster_bits = state.model.geometry->cluster_bits();
  for (const RefcountBlock& block : structures.blocks) {
    if (!block.counted || block.duplicate) continue;
    writer.Add(block.offset_bytes >> cluster_bits, 1,
               TimesNamed(structures, block.offset_bytes), kReferenceMetadata);
  }
}

void FindSharedRefcountBlocks(CheckState& state,
                              const RefcountStructures& structures,
                              const ReferenceMap& map) {
  const Geometry& geometry = *state.model.geometry;
  for (const RefcountBlock& block : structures.blocks) {
    if (!block.counted || block.duplicate) continue;
    const uint64_t cluster = block.offset_bytes >> geometry.cluster_bits();
    if (cluster < map.first_cluster() || cluster >= map.end_cluster()) continue;
    const uint64_t named = TimesNamed(structures, block.offset_bytes);
    if (map.At(cluster).count <= named) continue;
    Finding finding = MakeFinding(state, Problem::kRefcountBlockShared, block,
                                  block.offset_bytes);
    finding.host = HostRunOf(state, block);
    finding.owners = kOwnerRefcountBlock;
    state.sink.Add(std::move(finding), geometry.refcount_max() == 1 ? 0 : 1);
  }
}

}  // namespace qcow2::checker
