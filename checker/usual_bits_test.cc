#include "checker/usual_bits.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "engine/format/byte_order.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

constexpr uint32_t kClusters = 1024;

// The same bits twice: as words, and one by one.
struct Bits {
  std::vector<uint64_t> words = std::vector<uint64_t>(kClusters / kBitsPerWord);
  std::vector<bool> plain = std::vector<bool>(kClusters);
};

// Runs of 1 to 150 bits, set and clear by turns, and single ones in them.
Bits RandomBits(uint64_t seed) {
  std::mt19937_64 random(seed);
  Bits bits;
  bool set = false;
  uint32_t next_change = 0;
  for (uint32_t i = 0; i < kClusters; ++i) {
    if (i == next_change) {
      set = !set;
      next_change = i + 1 + random() % 150;
    }
    const bool here = set != (random() % 40 == 0);
    bits.plain[i] = here;
    if (here) {
      EXPECT_TRUE(SetBit(bits.words.data(), i));
    }
  }
  return bits;
}

TEST(UsualBitsTest, ABitIsSetOnce) {
  const Bits bits = RandomBits(1);
  for (uint32_t i = 0; i < kClusters; ++i) {
    EXPECT_EQ(BitAt(bits.words.data(), i), bits.plain[i]);
    std::vector<uint64_t> words = bits.words;
    EXPECT_EQ(SetBit(words.data(), i), !bits.plain[i]);
    EXPECT_TRUE(BitAt(words.data(), i));
  }
}

TEST(UsualBitsTest, BitsAreSetUpToOneThatWas) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 3000; ++round) {
    Bits bits = RandomBits(round % 10);
    const auto begin = static_cast<uint32_t>(random() % kClusters);
    const auto end =
        static_cast<uint32_t>(begin + random() % (kClusters - begin + 1));
    uint32_t stop = begin;
    while (stop < end && !bits.plain[stop]) bits.plain[stop++] = true;
    ASSERT_EQ(SetBits(bits.words.data(), begin, end), stop)
        << begin << " to " << end;
    for (uint32_t i = 0; i < kClusters; ++i) {
      ASSERT_EQ(BitAt(bits.words.data(), i), bits.plain[i]) << i;
    }
  }
}

TEST(UsualBitsTest, RunsOfLikeBitsEndWhereTheyDo) {
  const Bits bits = RandomBits(3);
  for (uint32_t i = 0; i < kClusters; ++i) {
    for (const uint32_t limit :
         {i + 1, std::min(i + 70, kClusters), kClusters}) {
      uint32_t end = i;
      while (end < limit && bits.plain[end] == bits.plain[i]) ++end;
      ASSERT_EQ(EndOfLikeCells<1>(bits.words.data(), i, limit), end)
          << i << " to " << limit;
    }
  }
}

// Each cluster in turn.
UsualClusters PlainPass(const Bits& bits, uint32_t begin, uint32_t end,
                        const std::vector<std::byte>& counts, bool pass_leaks) {
  UsualClusters passed{.end = begin};
  bool last_leaked = false;
  for (; passed.end < end; ++passed.end) {
    const bool used = bits.plain[passed.end];
    const uint16_t stored = LoadBe16(&counts[passed.end * 2]);
    const bool leaked = !used && stored == 1;
    if (leaked ? !pass_leaks || passed.end == begin
               : stored != (used ? 1 : 0)) {
      break;
    }
    passed.leaked += leaked ? 1 : 0;
    passed.leaked_runs += leaked && !last_leaked ? 1 : 0;
    last_leaked = leaked;
  }
  return passed;
}

TEST(UsualBitsTest, ClustersCountedRightArePassedOver) {
  std::mt19937_64 random(4);
  const Bits bits = RandomBits(5);
  std::vector<std::byte> counts(uint64_t{2} * kClusters);
  for (uint32_t i = 0; i < kClusters; ++i) {
    uint64_t count = bits.plain[i] ? 1 : 0;
    // Many leaks, some counts too low, some of all kinds.
    if (random() % 20 == 0) count = 1;
    if (random() % 200 == 0) count = 0;
    if (random() % 200 == 0) count = random() % 65536;
    StoreBe16(&counts[uint64_t{i} * 2], static_cast<uint16_t>(count));
  }
  for (const bool pass_leaks : {false, true}) {
    for (uint32_t begin = 0; begin < kClusters; ++begin) {
      for (const uint64_t most : {1, 63, 64, 65, 1024}) {
        const auto end =
            static_cast<uint32_t>(std::min<uint64_t>(begin + most, kClusters));
        const UsualClusters plain =
            PlainPass(bits, begin, end, counts, pass_leaks);
        const UsualClusters passed =
            PassUsualBits(bits.words.data(), begin, end,
                          &counts[uint64_t{begin} * 2], pass_leaks);
        ASSERT_EQ(passed.end, plain.end) << begin << " to " << end;
        ASSERT_EQ(passed.leaked, plain.leaked) << begin << " to " << end;
        ASSERT_EQ(passed.leaked_runs, plain.leaked_runs)
            << begin << " to " << end;
      }
    }
  }
}

}  // namespace
}  // namespace qcow2::checker
