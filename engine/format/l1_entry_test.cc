#include "engine/format/l1_entry.h"

#include <array>

#include "gtest/gtest.h"

namespace qcow2 {
namespace {

TEST(L1EntryTest, EverySingleBitBelongsToOneFieldAndRoundTrips) {
  for (int bit = 0; bit < 64; ++bit) {
    const L1Entry entry(uint64_t{1} << bit);
    const bool offset = bit >= 9 && bit <= 55;
    EXPECT_EQ(entry.l2_offset().value() != 0, offset) << bit;
    EXPECT_EQ(entry.has_l2_table(), offset) << bit;
    EXPECT_EQ(entry.copied(), bit == 63) << bit;
    EXPECT_EQ(entry.reserved_bits() != 0, !offset && bit != 63) << bit;
    EXPECT_FALSE(entry.is_zero());
    std::array<std::byte, 8> bytes;
    entry.Encode(bytes.data());
    EXPECT_EQ(L1Entry::Decode(bytes.data()), entry) << bit;
  }
}

TEST(L1EntryTest, ZeroEntryNamesNothing) {
  EXPECT_TRUE(L1Entry().is_zero());
  EXPECT_FALSE(L1Entry().has_l2_table());
  EXPECT_EQ(L1EntryIssues(L1Entry(), *Geometry::Create(16, 4, false)), 0u);
}

TEST(L1EntryTest, Verdicts) {
  struct Case {
    const char* name;
    uint64_t raw;
    uint32_t issues;
  };
  const Case cases[] = {
      {"healthy", 0x8000000000040000, 0},
      {"healthy, shared", 0x0000000000040000, 0},
      {"low reserved bit", 0x8000000000040001, kL1ReservedBitsSet},
      {"high reserved bit", 0xc000000000040000, kL1ReservedBitsSet},
      {"unaligned", 0x8000000000040200, kL1OffsetUnaligned},
      {"COPIED alone", 0x8000000000000000, kL1CopiedWithoutTable},
      {"all ones", ~uint64_t{0}, kL1ReservedBitsSet | kL1OffsetUnaligned},
  };
  const Geometry geometry = *Geometry::Create(16, 4, false);
  for (const Case& c : cases) {
    EXPECT_EQ(L1EntryIssues(L1Entry(c.raw), geometry), c.issues) << c.name;
  }
}

}  // namespace
}  // namespace qcow2
