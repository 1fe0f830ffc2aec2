#include "checker/refcount_runs.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "engine/format/refcount_block.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

class RefcountRunsTest : public testing::TestWithParam<uint32_t> {};

// Runs of random lengths and places, found as a plain loop finds them.
TEST_P(RefcountRunsTest, FindsTheEndOfEveryRun) {
  const uint32_t order = GetParam();
  std::mt19937_64 random(order);
  std::vector<std::byte> block(512);
  const uint64_t counts = RefcountsIn(block.size(), order);
  for (uint64_t i = 0; i < counts;) {
    const uint64_t length = 1 + random() % (random() % 2 ? 3 : 200);
    const uint64_t value = random() % 2;
    for (uint64_t k = 0; k < length && i < counts; ++k) {
      SetRefcount(block, order, i++, value);
    }
  }
  for (uint64_t index = 0; index < counts; ++index) {
    for (const uint64_t limit : {counts, std::min(counts, index + 70)}) {
      const uint64_t value = GetRefcount(block, order, index);
      uint64_t end = index;
      while (end < limit && GetRefcount(block, order, end) == value) ++end;
      ASSERT_EQ(RefcountRunEnd(block, order, index, limit, value), end);
      ASSERT_EQ(RefcountRunEnd(block, order, index, limit, 1 - value), index);
    }
  }
}

// The same as one count after the other gives, from and to everywhere.
TEST(OnesOfABitTest, AreCountedAWordAtATime) {
  std::mt19937_64 random(7);
  std::vector<std::byte> block(64);
  for (std::byte& byte : block) {
    const uint64_t kind = random() % 4;
    byte = kind == 0   ? std::byte{0}
           : kind == 1 ? std::byte{0xff}
                       : static_cast<std::byte>(random());
  }
  const uint64_t counts = RefcountsIn(block.size(), 0);
  for (uint64_t index = 0; index < counts; ++index) {
    OnesOfABit expected;
    for (uint64_t limit = index; limit <= counts; ++limit) {
      const OnesOfABit ones = CountOnesOfABit(block, index, limit);
      ASSERT_EQ(ones.counts, expected.counts) << index << " to " << limit;
      ASSERT_EQ(ones.runs, expected.runs) << index << " to " << limit;
      ASSERT_EQ(ones.last, expected.last) << index << " to " << limit;
      if (limit == counts || GetRefcount(block, 0, limit) == 0) continue;
      const bool begins =
          limit == index || GetRefcount(block, 0, limit - 1) == 0;
      expected.runs += begins ? 1 : 0;
      ++expected.counts;
      expected.last = limit;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Widths, RefcountRunsTest,
                         testing::Values(0, 1, 2, 3, 4, 5, 6));

}  // namespace
}  // namespace qcow2::checker
