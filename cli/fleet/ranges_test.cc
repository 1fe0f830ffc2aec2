#include "cli/fleet/ranges.h"

#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

using Ranges = std::vector<CountedRange>;

TEST(RangesTest, WhatIsLeft) {
  const CountedRange whole = {10, 10};
  EXPECT_EQ(Without(whole, {}), (Ranges{{10, 10}}));
  EXPECT_EQ(Without(whole, {{10, 10}}), Ranges{});
  EXPECT_EQ(Without(whole, {{0, 100}}), Ranges{});
  EXPECT_EQ(Without(whole, {{0, 10}, {20, 5}}), (Ranges{{10, 10}}));
  EXPECT_EQ(Without(whole, {{10, 9}}), (Ranges{{19, 1}}));
  EXPECT_EQ(Without(whole, {{11, 9}}), (Ranges{{10, 1}}));
  EXPECT_EQ(Without(whole, {{15, 2}, {12, 1}}),
            (Ranges{{10, 2}, {13, 2}, {17, 3}}));
  EXPECT_EQ(Without(whole, {{12, 6}, {13, 2}}), (Ranges{{10, 2}, {18, 2}}));
  EXPECT_EQ(Without({10, 0}, {}), Ranges{});
}

TEST(RangesTest, TheEndOfAllNumbers) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(Without({kMax - 1, 5}, {{kMax - 2, kMax}}), Ranges{});
  EXPECT_EQ(Without({5, kMax}, {{0, 6}}), (Ranges{{6, kMax - 6}}));
}

}  // namespace
}  // namespace qcow2::cli
