// Times the check's inner loops one by one, on tables in memory: where a
// change of the whole check's time comes from. Figures are per entry
// (items_per_second); run with
//   bazel run --config=opt //bench:micro_bench
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <vector>

#include "checker/l2_scan.h"
#include "checker/refcount_runs.h"
#include "checker/reference_map.h"
#include "engine/format/byte_order.h"
#include "engine/format/entry_flags.h"

namespace qcow2::checker {
namespace {

constexpr uint64_t kClusterSize = 65536;
constexpr uint64_t kTableEntries = kClusterSize / 8;
// 64 GiB of guest data, as in the benchmark's random image.
constexpr uint64_t kClusters = uint64_t{1} << 20;

enum class Order { kSequential, kRandom };

// Host clusters for guest clusters 0 ... kClusters - 1.
std::vector<uint64_t> HostClusters(Order order) {
  std::vector<uint64_t> clusters(kClusters);
  std::iota(clusters.begin(), clusters.end(), uint64_t{1});
  if (order == Order::kRandom) {
    std::shuffle(clusters.begin(), clusters.end(), std::mt19937_64(20100317));
  }
  return clusters;
}

// The L2 tables that map to `clusters`, one after the other.
std::vector<std::byte> L2Tables(const std::vector<uint64_t>& clusters) {
  std::vector<std::byte> tables(clusters.size() * 8);
  for (size_t i = 0; i < clusters.size(); ++i) {
    StoreBe64(tables.data() + i * 8, kCopiedFlag | clusters[i] * kClusterSize);
  }
  return tables;
}

L2ScanRules Rules() {
  L2ScanRules rules;
  rules.cluster_size_bytes = kClusterSize;
  rules.cluster_bits = 16;
  rules.zero_flag_allowed = true;
  rules.file_end_bytes = std::numeric_limits<uint64_t>::max();
  return rules;
}

// Sees what the scan finds and does nothing with it.
struct CountingVisitor {
  void OnRun(const L2Run& run) { entries += run.entries; }
  void OnOdd(uint64_t, const L2Entry&) { ++entries; }
  uint64_t entries = 0;
};

// Adds what the scan finds to a reference map.
struct MapVisitor {
  void OnRun(const L2Run& run) {
    writer.Add(run.host_offset_bytes / kClusterSize, run.entries, 1,
               kReferenceCopied);
  }
  void OnOdd(uint64_t, const L2Entry&) {}
  ReferenceMap::Writer& writer;
};

template <typename Visitor>
void ScanAll(const std::vector<std::byte>& tables, Visitor& visitor) {
  const std::span<const std::byte> all(tables);
  const L2ScanRules rules = Rules();
  for (size_t at = 0; at < all.size(); at += kTableEntries * 8) {
    ScanL2Table(all.subspan(at, kTableEntries * 8), rules, visitor);
  }
}

void CountEntries(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kClusters));
}

void BM_ScanL2(benchmark::State& state, Order order) {
  const std::vector<std::byte> tables = L2Tables(HostClusters(order));
  for ([[maybe_unused]] const auto _ : state) {
    CountingVisitor visitor;
    ScanAll(tables, visitor);
    benchmark::DoNotOptimize(visitor.entries);
  }
  CountEntries(state);
}
BENCHMARK_CAPTURE(BM_ScanL2, sequential, Order::kSequential);
BENCHMARK_CAPTURE(BM_ScanL2, random, Order::kRandom);

void BM_ScanL2IntoMap(benchmark::State& state, Order order) {
  const std::vector<std::byte> tables = L2Tables(HostClusters(order));
  for ([[maybe_unused]] const auto _ : state) {
    ReferenceMap map(0, kClusters + 1, 0);
    ReferenceMap::Writer writer(map);
    MapVisitor visitor{writer};
    ScanAll(tables, visitor);
    writer.Release();
    benchmark::DoNotOptimize(map.peak_memory_bytes());
  }
  CountEntries(state);
}
BENCHMARK_CAPTURE(BM_ScanL2IntoMap, sequential, Order::kSequential);
BENCHMARK_CAPTURE(BM_ScanL2IntoMap, random, Order::kRandom);

// A block full of ones, as most blocks of most images are.
std::vector<std::byte> BlockOfOnes(uint64_t bits) {
  std::vector<std::byte> block(kClusterSize);
  if (bits >= 8) {
    for (size_t i = bits / 8 - 1; i < block.size(); i += bits / 8) {
      block[i] = std::byte{1};
    }
    return block;
  }
  // 1, 2 or 4 bits: as many ones in a byte as counts fit.
  constexpr uint8_t kOnes[] = {0, 0xff, 0x55, 0, 0x11};
  std::fill(block.begin(), block.end(), std::byte{kOnes[bits]});
  return block;
}

void BM_RefcountRuns(benchmark::State& state) {
  const uint32_t refcount_order = static_cast<uint32_t>(state.range(0));
  const uint64_t bits = uint64_t{1} << refcount_order;
  const std::vector<std::byte> block = BlockOfOnes(bits);
  const uint64_t counts = kClusterSize * 8 / bits;
  for ([[maybe_unused]] const auto _ : state) {
    const uint64_t end = RefcountRunEnd(block, refcount_order, 0, counts, 1);
    if (end != counts) state.SkipWithError("the run ends too early");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(counts));
}
BENCHMARK(BM_RefcountRuns)->DenseRange(0, 6);

}  // namespace
}  // namespace qcow2::checker

BENCHMARK_MAIN();
