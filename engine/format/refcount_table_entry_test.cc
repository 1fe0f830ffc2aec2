#include "engine/format/refcount_table_entry.h"

#include <array>

#include "gtest/gtest.h"

namespace qcow2 {
namespace {

TEST(RefcountTableEntryTest, EverySingleBitBelongsToOneFieldAndRoundTrips) {
  for (int bit = 0; bit < 64; ++bit) {
    const RefcountTableEntry entry(uint64_t{1} << bit);
    EXPECT_EQ(entry.has_block(), bit >= 9) << bit;
    EXPECT_EQ(entry.block_offset().value() != 0, bit >= 9) << bit;
    EXPECT_EQ(entry.reserved_bits() != 0, bit < 9) << bit;
    std::array<std::byte, 8> bytes;
    entry.Encode(bytes.data());
    EXPECT_EQ(RefcountTableEntry::Decode(bytes.data()), entry) << bit;
  }
}

TEST(RefcountTableEntryTest, Verdicts) {
  struct Case {
    const char* name;
    uint64_t raw;
    uint32_t issues;
  };
  const Case cases[] = {
      {"no block", 0, 0},
      {"healthy", 0x20000, 0},
      {"reserved", 0x20001, kRefcountTableReservedBitsSet},
      {"unaligned", 0x20200, kRefcountTableOffsetUnaligned},
      {"all ones", ~uint64_t{0},
       kRefcountTableReservedBitsSet | kRefcountTableOffsetUnaligned},
  };
  const Geometry geometry = *Geometry::Create(16, 4, false);
  for (const Case& c : cases) {
    EXPECT_EQ(RefcountTableEntryIssues(RefcountTableEntry(c.raw), geometry),
              c.issues)
        << c.name;
  }
}

}  // namespace
}  // namespace qcow2
