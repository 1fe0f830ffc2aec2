#include "engine/image/dirty_bits.h"

#include <algorithm>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using Bytes = std::vector<std::byte>;

Bytes AllOf(const DirtyBits& bits) {
  Bytes bytes((bits.bit_count() + 7) / 8);
  bits.OrInto(0, bytes);
  return bytes;
}

TEST(BitsTest, AreSetAndClearedInRanges) {
  for (uint64_t first = 0; first < 40; ++first) {
    for (uint64_t count = 0; first + count <= 40; ++count) {
      Bytes bytes(5);
      SetBits(bytes, first, count);
      EXPECT_EQ(CountBits(bytes), count);
      for (uint64_t bit = 0; bit < 40; ++bit) {
        const bool set =
            ((bytes[bit / 8] >> (bit % 8)) & std::byte{1}) != std::byte{0};
        EXPECT_EQ(set, bit >= first && bit < first + count);
      }
      ClearBitsFrom(bytes, first + count / 2);
      EXPECT_EQ(CountBits(bytes), count / 2);
    }
  }
}

TEST(DirtyBitsTest, NothingIsSetAtFirst) {
  const DirtyBits bits(uint64_t{1} << 50, 9);
  EXPECT_FALSE(bits.Get(0));
  EXPECT_FALSE(bits.Touches(0, 1 << 20));
  EXPECT_EQ(bits.bit_count(), uint64_t{1} << 41);
}

TEST(DirtyBitsTest, APartOfAStretchMakesAllOfItDirty) {
  DirtyBits bits(10 << 16, 16);
  bits.Set((2 << 16) - 1, 2);
  EXPECT_EQ(AllOf(bits), (Bytes{std::byte{0b110}, std::byte{0}}));
  EXPECT_TRUE(bits.Get(1 << 16));
  EXPECT_FALSE(bits.Get(0));
}

TEST(DirtyBitsTest, EndWithTheDisk) {
  DirtyBits bits((10 << 16) + 1, 16);
  bits.Set(9 << 16, ~uint64_t{0} - (9 << 16));
  bits.Set(uint64_t{1} << 60, 1);
  EXPECT_EQ(AllOf(bits), (Bytes{std::byte{0}, std::byte{0b110}}));
  // All of the one page there is, and nothing behind the last bit.
  bits.Set(0, 11 << 16);
  EXPECT_EQ(AllOf(bits), (Bytes{std::byte{0xff}, std::byte{0b111}}));
  EXPECT_TRUE(bits.Get(10 << 16));
  EXPECT_FALSE(bits.Get(11 << 16));
}

TEST(DirtyBitsTest, AgreeWithAPlainBitmap) {
  // Three pages and a piece of a fourth.
  constexpr uint64_t kBits = 4096 * 8 * 3 + 1001;
  constexpr uint64_t kSize = kBits * 512 - 100;
  DirtyBits bits(kSize, 9);
  Bytes plain((kBits + 7) / 8);
  std::mt19937_64 random(1);
  for (int i = 0; i < 60; ++i) {
    const uint64_t first = random() % kBits;
    const uint64_t count = random() % (i % 4 == 0 ? kBits : 2000) + 1;
    bits.Set(first * 512 + random() % 512, (count - 1) * 512 + 1);
    SetBits(plain, first, std::min(count, kBits - first));
    ASSERT_EQ(AllOf(bits), plain) << i;
  }
  Bytes some(5000);
  bits.OrInto(3000, some);
  EXPECT_TRUE(std::equal(some.begin(), some.end(), plain.begin() + 3000));
}

}  // namespace
}  // namespace qcow2
