#include "checker/l2_scan.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "checker/l2_shape.h"
#include "engine/format/refcount_block.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;

constexpr uint64_t kCluster = 65536;

L2ScanRules Rules() {
  L2ScanRules rules;
  rules.cluster_size_bytes = kCluster;
  rules.cluster_bits = 16;
  rules.zero_flag_allowed = true;
  rules.file_end_bytes = 1000 * kCluster;
  return rules;
}

std::vector<std::byte> Table(const std::vector<uint64_t>& words) {
  std::vector<std::byte> bytes(words.size() * 8);
  for (size_t i = 0; i < words.size(); ++i) {
    StoreBe64(bytes.data() + i * 8, words[i]);
  }
  return bytes;
}

// What a scan told: runs as (index, entries, offset, copied), odd entries by
// index.
struct Recorder {
  std::vector<std::tuple<uint64_t, uint64_t, uint64_t, bool>> runs;
  std::vector<uint64_t> odd;

  void OnRun(const L2Run& run) {
    runs.emplace_back(run.first_index, run.entries, run.host_offset_bytes,
                      run.copied);
  }
  void OnOdd(uint64_t index, L2Entry) { odd.push_back(index); }
};

// Takes lone entries many at a time.
struct LoneRecorder : Recorder {
  void OnLoneEntries(std::span<const std::byte> entries) {
    lone += entries.size() / 8;
    for (size_t i = 0; i < entries.size(); i += 8) {
      const uint64_t raw = LoadBe64(&entries[i]);
      runs.emplace_back(0, 1, raw & kL2OffsetMask, (raw & kCopiedFlag) != 0);
    }
  }
  uint64_t lone = 0;
};

Recorder Scan(const std::vector<uint64_t>& words,
              const L2ScanRules& rules = Rules()) {
  Recorder recorder;
  ScanL2Table(Table(words), rules, recorder);
  return recorder;
}

TEST(ScanL2TableTest, RegularEntriesMakeRuns) {
  std::vector<uint64_t> words(300);
  for (uint64_t i = 0; i < 200; ++i) {
    words[50 + i] = kCopiedFlag | (10 + i) * kCluster;
  }
  const Recorder seen = Scan(words);
  EXPECT_THAT(seen.runs, ElementsAre(std::tuple(50, 200, 10 * kCluster, true)));
  EXPECT_THAT(seen.odd, IsEmpty());
}

TEST(ScanL2TableTest, AChangeOfFlagOrPlaceBeginsANewRun) {
  const Recorder seen =
      Scan({kCopiedFlag | 5 * kCluster, kCopiedFlag | 6 * kCluster,
            7 * kCluster, 9 * kCluster, 8 * kCluster});
  EXPECT_THAT(seen.runs, ElementsAre(std::tuple(0, 2, 5 * kCluster, true),
                                     std::tuple(2, 1, 7 * kCluster, false),
                                     std::tuple(3, 1, 9 * kCluster, false),
                                     std::tuple(4, 1, 8 * kCluster, false)));
}

TEST(ScanL2TableTest, ZeroEntriesSayNothingAndAllocatedZerosAreRuns) {
  const Recorder seen =
      Scan({kZeroFlag, 0, kZeroFlag | kCopiedFlag | 5 * kCluster});
  EXPECT_THAT(seen.runs, ElementsAre(std::tuple(2, 1, 5 * kCluster, true)));
  EXPECT_THAT(seen.odd, IsEmpty());
}

TEST(ScanL2TableTest, DamagedEntriesAreOdd) {
  EXPECT_THAT(
      Scan({5 * kCluster + 512, 5 * kCluster | 2, kCompressedFlag | 12345,
            1000 * kCluster, uint64_t{1} << 60})
          .odd,
      ElementsAre(0, 1, 2, 3, 4));
}

TEST(ScanL2TableTest, ARunEndsAtTheEndOfTheFile) {
  const Recorder seen = Scan({998 * kCluster, 999 * kCluster, 1000 * kCluster});
  EXPECT_THAT(seen.runs, ElementsAre(std::tuple(0, 2, 998 * kCluster, false)));
  EXPECT_THAT(seen.odd, ElementsAre(2));
}

TEST(ScanL2TableTest, ALastClusterThatIsThereInPartCounts) {
  L2ScanRules rules = Rules();
  rules.file_end_bytes = 2 * kCluster + 512;
  const Recorder seen = Scan({kCluster, 2 * kCluster, 3 * kCluster}, rules);
  EXPECT_THAT(seen.runs, ElementsAre(std::tuple(0, 2, kCluster, false)));
  EXPECT_THAT(seen.odd, ElementsAre(2));
}

TEST(ScanL2TableTest, ExtendedEntriesNeedLikeBitmapsForARun) {
  L2ScanRules rules = Rules();
  rules.extended_l2 = true;
  rules.zero_flag_allowed = false;
  const Recorder seen = Scan({5 * kCluster, 0xffffffff,      //
                              6 * kCluster, 0xffffffff,      //
                              7 * kCluster, 0x0000000f,      //
                              8 * kCluster, 0x100000001,     // both
                              0, 0xffffffff00000000,         // zeros
                              0, 1,                          // no offset
                              9 * kCluster | kZeroFlag, 1},  // reserved
                             rules);
  EXPECT_THAT(seen.runs, ElementsAre(std::tuple(0, 2, 5 * kCluster, false),
                                     std::tuple(2, 1, 7 * kCluster, false)));
  EXPECT_THAT(seen.odd, ElementsAre(3, 5, 6));
}

TEST(ScanL2TableTest, WithAnExternalDataFileEveryEntryIsLookedAt) {
  L2ScanRules rules = Rules();
  rules.external_data_file = true;
  EXPECT_THAT(Scan({kCopiedFlag, 0, kCopiedFlag | kCluster}, rules).odd,
              ElementsAre(0, 2));
}

// Runs of random lengths, found as a plain loop finds them.
TEST(ScanL2TableTest, FindsRunsOfAnyLengthAnywhere) {
  std::mt19937_64 random(4);
  for (int table = 0; table < 50; ++table) {
    std::vector<uint64_t> words;
    std::vector<std::tuple<uint64_t, uint64_t, uint64_t, bool>> runs;
    const uint64_t longest = uint64_t{1} << table % 10;
    while (words.size() < 1024) {
      const uint64_t length =
          std::min<uint64_t>(1 + random() % longest, 1024 - words.size());
      // No run carries on the one before.
      const uint64_t first = 1 + (runs.size() * 2 + 1) * 1024;
      runs.emplace_back(words.size(), length, first * kCluster, true);
      for (uint64_t i = 0; i < length; ++i) {
        words.push_back(kCopiedFlag | (first + i) * kCluster);
      }
      const uint64_t gap = random() % 3 * (random() % 20);
      words.resize(std::min<uint64_t>(words.size() + gap, 1024));
    }
    L2ScanRules rules = Rules();
    rules.file_end_bytes = kL2OffsetMask;
    const Recorder seen = Scan(words, rules);
    ASSERT_THAT(seen.runs, ElementsAreArray(runs));
    ASSERT_THAT(seen.odd, IsEmpty());
  }
}

// An entry of any kind after `last`, mostly a regular one.
uint64_t AnyEntryAfter(uint64_t last, uint64_t trouble,
                       std::mt19937_64& random) {
  const uint64_t copied = random() % 2 * kCopiedFlag;
  if (random() % 1000 >= trouble) return copied | (random() % 900) * kCluster;
  switch (random() % 4) {
    case 0:
      return 0;
    case 1:
      return random();
    default:
      return copied | ((last & kL2OffsetMask) + kCluster);
  }
}

TEST(ScanL2TableTest, LoneEntriesInOneGoAreTheRunsTheyWouldBeOneByOne) {
  std::mt19937_64 random(12);
  uint64_t lone = 0;
  for (const uint64_t trouble : {0, 5, 50, 500}) {
    for (uint64_t length = 0; length < 200; ++length) {
      std::vector<uint64_t> words;
      while (words.size() < length) {
        words.push_back(
            AnyEntryAfter(words.empty() ? 0 : words.back(), trouble, random));
      }
      Recorder plain = Scan(words);
      // The bytes say nothing of their index.
      for (auto& run : plain.runs) {
        if (std::get<1>(run) == 1) std::get<0>(run) = 0;
      }
      LoneRecorder recorder;
      ScanL2Table(Table(words), Rules(), recorder);
      for (auto& run : recorder.runs) {
        if (std::get<1>(run) == 1) std::get<0>(run) = 0;
      }
      ASSERT_EQ(recorder.runs, plain.runs);
      ASSERT_EQ(recorder.odd, plain.odd);
      lone += recorder.lone;
    }
  }
  EXPECT_GT(lone, 20000);
}

TEST(AscendingPairsTest, TellsEveryPairAlone) {
  std::mt19937_64 random(9);
  for (uint64_t pairs = 0; pairs <= 64; ++pairs) {
    std::vector<uint64_t> words = {5};
    uint64_t expected = 0;
    for (uint64_t i = 0; i < pairs; ++i) {
      const uint64_t ascends = random() % 2;
      words.push_back(words.back() + (ascends != 0 ? 512 : 511));
      expected |= ascends << i;
    }
    EXPECT_EQ(AscendingPairs(Table(words).data(), pairs, 512), expected);
  }
}

TEST(AscendingEntriesTest, StopsAtEveryPossiblePlace) {
  for (uint64_t length = 0; length < 100; ++length) {
    std::vector<uint64_t> words(120);
    for (uint64_t i = 0; i < length; ++i) words[i] = 7 + i * 512;
    EXPECT_EQ(AscendingEntries(Table(words).data(), 8, 120, 7, 512), length);
  }
}

TEST(LeadingZeroBytesTest, StopsAtEveryPossibleWord) {
  for (uint64_t zeros = 0; zeros < 40; ++zeros) {
    std::vector<uint64_t> words(41);
    words[zeros] = 1;
    EXPECT_EQ(LeadingZeroBytes(Table(words).data(), words.size() * 8),
              zeros * 8);
  }
}

TEST(ShapeOfTest, TellsTablesBlocksAndDataApart) {
  const Geometry geometry = *Geometry::Create(16, 4, false);
  std::vector<std::byte> cluster(kCluster);
  EXPECT_EQ(ShapeOf(cluster, geometry, Rules(), nullptr), TableShape::kEmpty);
  for (uint64_t i = 0; i < 100; ++i) {
    StoreBe64(cluster.data() + i * 8, kCopiedFlag | (i + 5) * kCluster);
  }
  uint64_t entries = 0;
  EXPECT_EQ(ShapeOf(cluster, geometry, Rules(), &entries),
            TableShape::kL2Table);
  EXPECT_EQ(entries, 100);

  std::vector<std::byte> block(kCluster);
  for (uint64_t i = 0; i < 3000; ++i) SetRefcount(block, 4, i, 1);
  EXPECT_EQ(ShapeOf(block, geometry, Rules(), nullptr),
            TableShape::kRefcountBlock);

  const std::vector<std::byte> text(kCluster, std::byte{'a'});
  EXPECT_EQ(ShapeOf(text, geometry, Rules(), nullptr), TableShape::kOtherData);
}

}  // namespace
}  // namespace qcow2::checker
