#include "engine/format/bitmap_table_entry.h"

#include <array>

#include "gtest/gtest.h"

namespace qcow2 {
namespace {

TEST(BitmapTableEntryTest, EverySingleBitBelongsToOneFieldAndRoundTrips) {
  for (int bit = 0; bit < 64; ++bit) {
    const BitmapTableEntry entry(uint64_t{1} << bit);
    const bool offset = bit >= 9 && bit <= 55;
    EXPECT_EQ(entry.has_cluster(), offset) << bit;
    EXPECT_EQ(entry.offset().value() != 0, offset) << bit;
    EXPECT_EQ(entry.all_ones(), bit == 0) << bit;
    EXPECT_EQ(entry.reserved_bits() != 0, !offset && bit != 0) << bit;
    std::array<std::byte, 8> bytes;
    entry.Encode(bytes.data());
    EXPECT_EQ(BitmapTableEntry::Decode(bytes.data()), entry) << bit;
  }
}

TEST(BitmapTableEntryTest, Verdicts) {
  struct Case {
    const char* name;
    uint64_t raw;
    uint32_t issues;
  };
  const Case cases[] = {
      {"all zeros", 0, 0},
      {"all ones", 1, 0},
      {"cluster", 0x90000, 0},
      {"cluster and all ones", 0x90001, kBitmapTableReservedBitsSet},
      {"low reserved", 0x90002, kBitmapTableReservedBitsSet},
      {"high reserved", 0x8000000000090000, kBitmapTableReservedBitsSet},
      {"unaligned", 0x90200, kBitmapTableOffsetUnaligned},
  };
  const Geometry geometry = *Geometry::Create(16, 4, false);
  for (const Case& c : cases) {
    EXPECT_EQ(BitmapTableEntryIssues(BitmapTableEntry(c.raw), geometry),
              c.issues)
        << c.name;
  }
}

}  // namespace
}  // namespace qcow2
