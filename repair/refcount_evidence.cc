#include "repair/refcount_evidence.h"

#include <algorithm>
#include <vector>

#include "engine/format/header.h"
#include "engine/format/refcount_block.h"

namespace qcow2::repair {
namespace {

// Blocks looked at to find out the width of their counts.
constexpr size_t kMaxProbedBlocks = 16;

// How counts and references go together in a range of clusters.
struct Agreement {
  uint64_t in_use = 0;        // clusters referred to
  uint64_t in_use_wrong = 0;  // of those, with another count
  uint64_t unused_wrong = 0;  // counted, but not referred to
};

Agreement Compare(const checker::Graph& graph, uint64_t base, uint32_t order,
                  std::span<const std::byte> bytes) {
  Agreement agreement;
  const uint64_t entries = RefcountsIn(bytes.size(), order);
  const uint64_t max = ~uint64_t{0} >> (64 - (uint64_t{1} << order));
  graph.map->ForEachRun(
      base, base + entries,
      [&](uint64_t first, uint64_t count, const checker::ReferenceCell& cell) {
        const uint64_t expected = std::min(cell.count, max);
        uint64_t wrong = 0;
        for (uint64_t i = first - base; i < first - base + count; ++i) {
          if (GetRefcount(bytes, order, i) != expected) ++wrong;
        }
        if (expected == 0) {
          agreement.unused_wrong += wrong;
        } else {
          agreement.in_use += count;
          agreement.in_use_wrong += wrong;
        }
      });
  return agreement;
}

bool IsAllZeros(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

bool CouldBeRefcountBlock(const checker::Graph& graph, uint64_t base,
                          std::span<const std::byte> bytes) {
  const Agreement agreement =
      Compare(graph, base, graph.model.geometry->refcount_order(), bytes);
  const uint64_t right = agreement.in_use - agreement.in_use_wrong;
  // Real blocks that went wrong agree somewhere; other data does not, and
  // counts a great deal that nothing refers to.
  return right >= agreement.in_use_wrong ||
         agreement.unused_wrong <= agreement.in_use || IsAllZeros(bytes);
}

uint32_t LikelyRefcountOrder(const checker::Graph& graph, const File& view) {
  const Geometry& geometry = *graph.model.geometry;
  std::vector<std::byte> bytes(geometry.cluster_size());
  std::vector<uint32_t> fitting;
  for (uint32_t order = 0; order <= kMaxRefcountOrder; ++order) {
    Agreement sum;
    size_t probed = 0;
    for (const checker::RefcountBlock& block : graph.refcounts.blocks) {
      if (!block.readable || probed == kMaxProbedBlocks) continue;
      ++probed;
      if (!ReadZeroFilled(view, block.offset_bytes, bytes).ok()) continue;
      const uint64_t base =
          block.table_index * RefcountsIn(geometry.cluster_size(), order);
      const Agreement one = Compare(graph, base, order, bytes);
      sum.in_use += one.in_use;
      sum.in_use_wrong += one.in_use_wrong;
      sum.unused_wrong += one.unused_wrong;
    }
    const uint64_t wrong = sum.in_use_wrong + sum.unused_wrong;
    if (sum.in_use > 0 && wrong <= sum.in_use / 8) fitting.push_back(order);
  }
  return fitting.size() == 1 ? fitting.front() : kRefcountOrderV2;
}

uint32_t RefcountOrderNeeded(const checker::Graph& graph) {
  uint64_t most = 0;
  for (const uint64_t chunk : graph.map->ChunkIndexes()) {
    const uint64_t first = chunk * checker::ReferenceMap::kChunkClusters;
    graph.map->ForEachRun(
        first, first + checker::ReferenceMap::kChunkClusters,
        [&](uint64_t, uint64_t, const checker::ReferenceCell& cell) {
          if ((cell.flags & checker::kReferenceOverlap) != 0) return;
          most = std::max(most, cell.count);
        });
  }
  uint32_t order = 0;
  while (order < kMaxRefcountOrder &&
         most > (~uint64_t{0} >> (64 - (uint64_t{1} << order)))) {
    ++order;
  }
  return order;
}

}  // namespace qcow2::repair
