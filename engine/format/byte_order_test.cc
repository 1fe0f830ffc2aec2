#include "engine/format/byte_order.h"

#include <array>

#include "gtest/gtest.h"

namespace qcow2 {
namespace {

constexpr std::array<std::byte, 8> kOneToEight = {
    std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4},
    std::byte{5}, std::byte{6}, std::byte{7}, std::byte{8}};

static_assert(LoadBe16(kOneToEight.data()) == 0x0102);
static_assert(LoadBe32(kOneToEight.data()) == 0x01020304);
static_assert(LoadBe64(kOneToEight.data()) == 0x0102030405060708);

TEST(ByteOrderTest, EverySixteenBitValueRoundTrips) {
  for (uint32_t value = 0; value <= 0xffff; ++value) {
    std::array<std::byte, 2> bytes;
    StoreBe16(bytes.data(), static_cast<uint16_t>(value));
    ASSERT_EQ(LoadBe16(bytes.data()), value);
    ASSERT_EQ(std::to_integer<uint32_t>(bytes[0]), value >> 8);
  }
}

TEST(ByteOrderTest, EverySingleBitOfAWordKeepsItsPlace) {
  for (int bit = 0; bit < 64; ++bit) {
    std::array<std::byte, 8> bytes;
    StoreBe64(bytes.data(), uint64_t{1} << bit);
    ASSERT_EQ(LoadBe64(bytes.data()), uint64_t{1} << bit);
    ASSERT_EQ(std::to_integer<int>(bytes[7 - bit / 8]), 1 << bit % 8);
  }
}

TEST(ByteOrderTest, EverySingleBitOfAHalfWordKeepsItsPlace) {
  for (int bit = 0; bit < 32; ++bit) {
    std::array<std::byte, 4> bytes;
    StoreBe32(bytes.data(), uint32_t{1} << bit);
    ASSERT_EQ(LoadBe32(bytes.data()), uint32_t{1} << bit);
    ASSERT_EQ(std::to_integer<int>(bytes[3 - bit / 8]), 1 << bit % 8);
  }
}

TEST(ByteOrderTest, PaddedLoadReadsZerosPastTheEnd) {
  const std::span<const std::byte> bytes(kOneToEight);
  EXPECT_EQ(LoadBe64Padded(bytes, 0), 0x0102030405060708u);
  EXPECT_EQ(LoadBe64Padded(bytes, 5), 0x0607080000000000u);
  EXPECT_EQ(LoadBe32Padded(bytes, 7), 0x08000000u);
  EXPECT_EQ(LoadBe16Padded(bytes, 8), 0u);
  EXPECT_EQ(LoadBe32Padded(bytes, ~uint64_t{0}), 0u);
}

}  // namespace
}  // namespace qcow2
