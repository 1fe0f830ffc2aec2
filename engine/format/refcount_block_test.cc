#include "engine/format/refcount_block.h"

#include <array>
#include <vector>

#include "gtest/gtest.h"

namespace qcow2 {
namespace {

std::vector<std::byte> Bytes(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

TEST(RefcountBlockTest, NarrowCountsStartAtTheLeastSignificantBits) {
  const std::vector<std::byte> block = Bytes({0b10110001, 0x80});
  EXPECT_EQ(GetRefcount(block, 0, 0), 1u);
  EXPECT_EQ(GetRefcount(block, 0, 1), 0u);
  EXPECT_EQ(GetRefcount(block, 0, 7), 1u);
  EXPECT_EQ(GetRefcount(block, 0, 15), 1u);
  EXPECT_EQ(GetRefcount(block, 1, 0), 1u);
  EXPECT_EQ(GetRefcount(block, 1, 2), 3u);
  EXPECT_EQ(GetRefcount(block, 1, 3), 2u);
  EXPECT_EQ(GetRefcount(block, 2, 0), 1u);
  EXPECT_EQ(GetRefcount(block, 2, 1), 11u);
  EXPECT_EQ(GetRefcount(block, 2, 3), 8u);
}

TEST(RefcountBlockTest, WideCountsAreBigEndian) {
  const std::vector<std::byte> block =
      Bytes({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
  EXPECT_EQ(GetRefcount(block, 3, 4), 5u);
  EXPECT_EQ(GetRefcount(block, 4, 1), 0x0304u);
  EXPECT_EQ(GetRefcount(block, 5, 1), 0x05060708u);
  EXPECT_EQ(GetRefcount(block, 6, 1), 0x090a0b0c0d0e0f10u);
}

TEST(RefcountBlockTest, SettingOneCountChangesNoOther) {
  for (uint32_t order = 0; order <= 6; ++order) {
    const uint64_t counts = RefcountsIn(16, order);
    ASSERT_EQ(counts * (uint64_t{1} << order), 128u);
    const uint64_t largest = ~uint64_t{0} >> (64 - (1 << order));
    for (uint64_t index = 0; index < counts; ++index) {
      for (bool ones : {false, true}) {
        std::vector<std::byte> block(16, std::byte(ones ? 0 : 0xff));
        SetRefcount(block, order, index, ones ? largest : 0);
        for (uint64_t other = 0; other < counts; ++other) {
          const uint64_t expected = ones == (other == index) ? largest : 0;
          ASSERT_EQ(GetRefcount(block, order, other), expected)
              << order << " " << index << " " << other;
        }
      }
    }
  }
}

TEST(RefcountBlockTest, EveryByteOfNarrowCountsRoundTrips) {
  for (uint32_t order = 0; order <= 3; ++order) {
    for (int value = 0; value < 256; ++value) {
      const std::vector<std::byte> block = Bytes({value});
      std::vector<std::byte> copy(1);
      for (uint64_t i = 0; i < RefcountsIn(1, order); ++i) {
        SetRefcount(copy, order, i, GetRefcount(block, order, i));
      }
      ASSERT_EQ(copy, block) << order << " " << value;
    }
  }
}

}  // namespace
}  // namespace qcow2
