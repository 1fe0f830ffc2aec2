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

INSTANTIATE_TEST_SUITE_P(Widths, RefcountRunsTest,
                         testing::Values(0, 1, 2, 3, 4, 5, 6));

}  // namespace
}  // namespace qcow2::checker
