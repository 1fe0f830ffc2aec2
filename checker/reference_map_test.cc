#include "checker/reference_map.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "engine/format/byte_order.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

constexpr uint64_t kChunk = ReferenceMap::kChunkClusters;

void Add(ReferenceMap& map, uint64_t first, uint64_t clusters, uint64_t weight,
         uint32_t flags = 0) {
  ReferenceMap::Writer(map).Add(first, clusters, weight, flags);
}

TEST(ReferenceMapTest, UntouchedClustersHaveNoReferences) {
  const ReferenceMap map(0, 1000, 0);
  EXPECT_EQ(map.At(0), ReferenceCell{});
  EXPECT_TRUE(map.ChunkIndexes().empty());
}

TEST(ReferenceMapTest, AddsWeightsOverRangesAcrossChunks) {
  ReferenceMap map(0, 3 * kChunk, 0);
  Add(map, kChunk - 2, kChunk + 4, 1);
  Add(map, kChunk, 1, 16);
  EXPECT_EQ(map.At(kChunk - 3).count, 0);
  EXPECT_EQ(map.At(kChunk - 2).count, 1);
  EXPECT_EQ(map.At(kChunk).count, 17);
  EXPECT_EQ(map.At(2 * kChunk + 1).count, 1);
  EXPECT_EQ(map.At(2 * kChunk + 2).count, 0);
  EXPECT_THAT(map.ChunkIndexes(), testing::ElementsAre(0, 1, 2));
}

TEST(ReferenceMapTest, IgnoresWhatIsOutsideItsRange) {
  ReferenceMap map(100, 200, 0);
  Add(map, 50, 100, 1);
  Add(map, 190, 100, 1);
  EXPECT_EQ(map.At(99).count, 0);
  EXPECT_EQ(map.At(100).count, 1);
  EXPECT_EQ(map.At(199).count, 1);
  EXPECT_EQ(map.At(200).count, 0);
}

TEST(ReferenceMapTest, MetadataMeetingAnythingIsAnOverlapInEitherOrder) {
  ReferenceMap map(0, 100, 0);
  Add(map, 1, 1, 1, kReferenceMetadata);
  Add(map, 1, 1, 1, kReferenceCopied);
  Add(map, 2, 1, 1, kReferenceCopied);
  Add(map, 2, 1, 1, kReferenceMetadata);
  Add(map, 3, 1, 1);
  Add(map, 3, 1, 1);
  Add(map, 4, 1, 7, kReferenceMetadata);
  EXPECT_NE(map.At(1).flags & kReferenceOverlap, 0);
  EXPECT_NE(map.At(2).flags & kReferenceOverlap, 0);
  EXPECT_EQ(map.At(3).flags & kReferenceOverlap, 0);
  // One structure that several entries name is one owner.
  EXPECT_EQ(map.At(4).flags & kReferenceOverlap, 0);
}

TEST(ReferenceMapTest, CountsSaturate) {
  ReferenceMap map(0, 10, 0);
  Add(map, 0, 1, kMaxReferences - 1);
  Add(map, 0, 1, 5);
  EXPECT_EQ(map.At(0).count, kMaxReferences);
}

// The runs cover the range without gaps and hold what At says.
void ExpectRunsMatchCells(const ReferenceMap& map, uint64_t first,
                          uint64_t end) {
  uint64_t next = first;
  map.ForEachRun(
      first, end,
      [&](uint64_t run, uint64_t clusters, const ReferenceCell& cell) {
        ASSERT_EQ(run, next);
        ASSERT_GT(clusters, 0);
        for (uint64_t i = run; i < run + clusters; ++i)
          ASSERT_EQ(map.At(i), cell);
        next = run + clusters;
      });
  EXPECT_EQ(next, end);
}

struct RandomAdds {
  int adds;
  // So many of a thousand are no usual references, and of weights up to this.
  uint64_t odd_per_thousand;
  uint64_t max_weight;
};

class ReferenceMapRandomTest : public testing::TestWithParam<RandomAdds> {};

// Whatever form a chunk takes, it counts as a plain map does.
TEST_P(ReferenceMapRandomTest, CountsLikeAPlainMap) {
  std::mt19937_64 random(20);
  const uint64_t end = 2 * kChunk;
  ReferenceMap map(0, end, 0);
  std::map<uint64_t, ReferenceCell> plain;
  for (int i = 0; i < GetParam().adds; ++i) {
    const uint64_t first = random() % end;
    const uint64_t clusters = 1 + random() % 5;
    const bool odd = random() % 1000 < GetParam().odd_per_thousand;
    const uint64_t weight = odd ? 1 + random() % GetParam().max_weight : 1;
    const uint32_t flags = odd ? random() % 8 : uint32_t{kReferenceCopied};
    Add(map, first, clusters, weight, flags);
    for (uint64_t c = first; c < std::min(first + clusters, end); ++c) {
      ReferenceCell& cell = plain[c];
      const uint32_t both = cell.flags | flags;
      if (cell.count > 0 && (both & kReferenceMetadata)) {
        cell.flags |= kReferenceOverlap;
      }
      cell.flags |= flags;
      cell.count += weight;
    }
  }
  for (uint64_t c = 0; c < end; ++c) {
    const auto found = plain.find(c);
    ASSERT_EQ(map.At(c), found == plain.end() ? ReferenceCell{} : found->second)
        << c;
  }
  ExpectRunsMatchCells(map, 0, end);
  ExpectRunsMatchCells(map, 77, kChunk + 3);
}

// What PassUsual may pass over: each cluster in turn.
UsualClusters PlainUsual(const ReferenceMap& map, uint64_t first, uint64_t end,
                         const std::vector<std::byte>& counts,
                         bool pass_leaks) {
  UsualClusters passed{.end = first};
  bool last_leaked = false;
  for (; passed.end < end; ++passed.end) {
    const ReferenceCell cell = map.At(passed.end);
    const uint64_t stored = LoadBe16(&counts[passed.end * 2]);
    const bool usual =
        cell.count <= 1 &&
        (cell.flags & (kReferenceOverlap | kReferenceNotCopied)) == 0 &&
        cell.flags != kReferenceMetadata;
    const bool leaked = cell.count == 0 && stored == 1;
    const bool passable =
        leaked ? pass_leaks && passed.end > first : stored == cell.count;
    if (!usual || !passable) break;
    passed.leaked += leaked ? 1 : 0;
    passed.leaked_runs += leaked && !last_leaked ? 1 : 0;
    last_leaked = leaked;
  }
  return passed;
}

void ExpectPassedLikePlain(const ReferenceMap& map, uint64_t first,
                           uint64_t end, const std::vector<std::byte>& counts) {
  for (const bool pass_leaks : {false, true}) {
    const UsualClusters plain = PlainUsual(map, first, end, counts, pass_leaks);
    const UsualClusters passed =
        map.PassUsual(first, end, &counts[first * 2], pass_leaks);
    ASSERT_EQ(passed.end, plain.end) << first << " to " << end;
    ASSERT_EQ(passed.leaked, plain.leaked) << first << " to " << end;
    ASSERT_EQ(passed.leaked_runs, plain.leaked_runs) << first << " to " << end;
  }
}

TEST(ReferenceMapTest, UsualClustersWithTheirCountsArePassedOver) {
  std::mt19937_64 random(7);
  const uint64_t end = 3000;
  ReferenceMap map(0, end, 0);
  std::vector<std::byte> counts(end * 2);
  const ReferenceCell odd[] = {
      {1, kReferenceNotCopied},
      {1, kReferenceMetadata},
      {2, kReferenceCopied},
      {2, kReferenceNotCopied},
      {3, 0},
  };
  for (uint64_t c = 0; c < end; ++c) {
    // Long stretches in order, some trouble in between.
    ReferenceCell cell = {c / 50 % 4 == 0 ? 0u : 1u, 0};
    if (c / 100 % 3 == 0) cell.flags = kReferenceCopied;
    if (c % 91 == 0) cell.flags = kReferenceCopied | kReferenceMetadata;
    if (random() % 20 == 0) cell = odd[random() % std::size(odd)];
    const uint64_t weight = cell.count;
    if (weight > 0) Add(map, c, 1, weight, cell.flags);
    uint64_t stored = random() % 60 == 0 ? random() % 600 : weight;
    if (weight == 0 && c / 50 % 8 == 0 && random() % 3 == 0) stored = 1;
    StoreBe16(&counts[c * 2], static_cast<uint16_t>(stored));
  }
  for (uint64_t first = 0; first < end; ++first) {
    ExpectPassedLikePlain(map, first, end, counts);
    ExpectPassedLikePlain(map, first, std::min(end, first + random() % 40),
                          counts);
  }
}

// Some of what every image has: metadata between the clusters of the guest, in
// more runs than are held as such.
TEST(ReferenceMapTest, UsualReferencesBetweenOthersArePassedOver) {
  std::mt19937_64 random(8);
  const uint64_t end = 2 * kChunk;
  ReferenceMap map(0, end, 0);
  std::vector<std::byte> counts(end * 2);
  for (uint64_t c = 0; c < end; ++c) {
    uint64_t stored = random() % 3 != 0 ? 1 : 0;
    if (c % 1500 == 0) {
      Add(map, c, 1, 1, kReferenceMetadata);
    } else if (stored != 0 && random() % 200 != 0) {
      Add(map, c, 1, 1, kReferenceCopied);
    }
    if (random() % 300 == 0) stored = random() % 600;
    StoreBe16(&counts[c * 2], static_cast<uint16_t>(stored));
  }
  // A bit a cluster and little more.
  EXPECT_LT(map.peak_memory_bytes(), 2 * (kChunk / 8 + 4096));
  for (uint64_t first = 0; first < end; ++first) {
    // A stretch ends at the metadata, and does not begin there.
    const uint64_t stop = first / kChunk * kChunk + kChunk;
    ExpectPassedLikePlain(map, first, stop, counts);
    ExpectPassedLikePlain(map, first, std::min(stop, first + random() % 90),
                          counts);
  }
}

TEST(ReferenceMapTest, ClustersFarApartInAHugeFileAreCounted) {
  const uint64_t end = uint64_t{1} << 54;
  ReferenceMap map(0, end, 0);
  {
    ReferenceMap::Writer writer(map);
    for (uint64_t c = 1; c < end; c *= 3) writer.Add(c - 1, 3, 1, 0);
  }
  EXPECT_EQ(map.At(2).count, 2);  // From 0 and from 2 on.
  for (uint64_t c = 27; c < end; c *= 3) {
    EXPECT_EQ(map.At(c - 2).count, 0);
    EXPECT_EQ(map.At(c).count, 1);
    EXPECT_EQ(map.At(c + 2).count, 0);
  }
  const std::vector<uint64_t> chunks = map.ChunkIndexes();
  EXPECT_TRUE(std::is_sorted(chunks.begin(), chunks.end()));
  EXPECT_GT(chunks.back(), uint64_t{1} << 36);
  EXPECT_LT(map.peak_memory_bytes(), 64 * 1024);
}

TEST(ReferenceMapTest, MemoryLimitHoldsForClustersFarApart) {
  const uint64_t end = uint64_t{1} << 54;
  ReferenceMap map(0, end, 2000);
  {
    ReferenceMap::Writer writer(map);
    for (uint64_t i = 0; i < 1000; ++i) writer.Add((i << 40) + 5, 1, 1, 0);
  }
  EXPECT_LT(map.end_cluster(), uint64_t{1000} << 40);
  EXPECT_EQ(map.At(5).count, 1);
  EXPECT_EQ(map.At((uint64_t{999} << 40) + 5).count, 0);
  EXPECT_LT(map.peak_memory_bytes(), 4000);
}

INSTANTIATE_TEST_SUITE_P(
    Forms, ReferenceMapRandomTest,
    testing::Values(
        // Weights that stay in bytes, need 16 bits, need 64 bits.
        RandomAdds{3000, 1000, 2}, RandomAdds{3000, 1000, 900},
        RandomAdds{3000, 1000, uint64_t{1} << 40},
        // Usual references, that some clusters have twice; then too many.
        RandomAdds{700, 10, 2}, RandomAdds{4000, 10, 2},
        // The same, most of all clusters, and up to counts that need 64 bits.
        RandomAdds{40000, 0, 1}, RandomAdds{4000, 10, uint64_t{1} << 40}));

TEST(ReferenceMapTest, RegularImagesTakeLittleMemory) {
  const uint64_t clusters = 16 << 20;
  ReferenceMap map(0, clusters, 0);
  ReferenceMap::Writer writer(map);
  for (uint64_t first = 0; first < clusters; first += 8193) {
    writer.Add(first, 1, 1, kReferenceMetadata);
    writer.Add(first + 1, 8192, 1, kReferenceCopied);
  }
  writer.Release();
  EXPECT_EQ(map.At(0).flags, kReferenceMetadata);
  EXPECT_LT(map.peak_memory_bytes(), 512 * 1024);
}

TEST(ReferenceMapTest, SeveralWritersLoseNothing) {
  const uint64_t end = 4 * kChunk;
  ReferenceMap map(0, end, 0);
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&map, t] {
      std::mt19937_64 random(t);
      ReferenceMap::Writer writer(map);
      for (int i = 0; i < 20000; ++i) writer.Add(random() % end, 1, 1, 0);
    });
  }
  for (std::thread& thread : threads) thread.join();
  uint64_t sum = 0;
  map.ForEachRun(0, end,
                 [&](uint64_t, uint64_t clusters, const ReferenceCell& cell) {
                   sum += clusters * cell.count;
                 });
  EXPECT_EQ(sum, 80000);
}

// Single clusters, up to so many times each that no code has a sum for them.
// By turns kept back and left to the writer, which may add them at once.
void AddSingles(ReferenceMap& map, uint64_t end, uint64_t seed) {
  std::mt19937_64 random(seed);
  ReferenceMap::Writer writer(map);
  for (const uint64_t weight : {1, 2, 9}) {
    ReferenceMap::Single* next = writer.Open(weight);
    for (uint64_t added = 0; added < 9000;) {
      constexpr uint64_t kMaxRoom = ReferenceMap::Writer::kMaxRoom;
      const bool many = random() % 2 == 0;
      const uint64_t count = 1 + random() % (many ? 3 * kMaxRoom : kMaxRoom);
      std::vector<ReferenceMap::Single> singles(count);
      for (ReferenceMap::Single& single : singles) {
        single = ReferenceMap::Single(random() % end, kReferenceCopied);
      }
      if (many) {
        next =
            writer.AddMany(next, count, [&](size_t i) { return singles[i]; });
      } else {
        next = writer.MakeRoom(next, count);
        next = std::copy(singles.begin(), singles.end(), next);
      }
      added += count;
    }
    writer.Close(next);
  }
}

TEST(ReferenceMapTest, SinglesOfSeveralWritersAreCounted) {
  const uint64_t end = 3 * kChunk;
  ReferenceMap threaded(0, end, 0);
  ReferenceMap plain(0, end, 0);
  std::vector<std::thread> threads;
  threads.reserve(3);
  for (uint64_t t = 0; t < 3; ++t) {
    threads.emplace_back([&threaded, t] { AddSingles(threaded, end, t); });
    AddSingles(plain, end, t);
  }
  for (std::thread& thread : threads) thread.join();
  uint64_t sum = 0;
  for (uint64_t c = 0; c < end; ++c) {
    ASSERT_EQ(threaded.At(c), plain.At(c)) << c;
    sum += plain.At(c).count;
  }
  EXPECT_GE(sum, 3u * (1 + 2 + 9) * 9000);
}

TEST(ReferenceMapTest, MemoryLimitMovesTheEndDownAndWindowsCoverEverything) {
  const uint64_t end = 40 * kChunk;
  const uint64_t limit = uint64_t{256} << 10;
  const auto fill = [&](ReferenceMap& map) {
    std::mt19937_64 random(3);
    ReferenceMap::Writer writer(map);
    for (int i = 0; i < 200000; ++i) writer.Add(random() % end, 1, 1, 0);
  };
  uint64_t sum = 0;
  int windows = 0;
  for (uint64_t first = 0; first < end; ++windows) {
    ReferenceMap map(first, end, limit);
    fill(map);
    ASSERT_GT(map.end_cluster(), first);
    EXPECT_LT(map.peak_memory_bytes(), 2 * limit);
    map.ForEachRun(first, map.end_cluster(),
                   [&](uint64_t, uint64_t clusters, const ReferenceCell& cell) {
                     sum += clusters * cell.count;
                   });
    first = map.end_cluster();
  }
  EXPECT_GT(windows, 2);
  EXPECT_EQ(sum, 200000);
}

}  // namespace
}  // namespace qcow2::checker
