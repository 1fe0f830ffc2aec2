#include "engine/format/l2_entry.h"

#include <array>

#include "gtest/gtest.h"

namespace qcow2 {
namespace {

const Geometry kStandard = *Geometry::Create(16, 4, false);
const Geometry kExtended = *Geometry::Create(16, 4, true);

TEST(L2EntryTest, EverySingleBitRoundTrips) {
  for (const Geometry& geometry : {kStandard, kExtended}) {
    const int bits = geometry.extended_l2() ? 128 : 64;
    for (int bit = 0; bit < bits; ++bit) {
      std::array<std::byte, 16> bytes = {};
      bytes[bit / 8] = static_cast<std::byte>(1 << bit % 8);
      const L2Entry entry = L2Entry::Decode(bytes.data(), geometry);
      std::array<std::byte, 16> encoded = {};
      entry.Encode(encoded.data(), geometry);
      EXPECT_EQ(encoded, bytes) << bit;
    }
  }
}

TEST(L2EntryTest, EverySingleBitOfAStandardEntryBelongsToOneField) {
  for (int bit = 0; bit < 62; ++bit) {
    const L2Entry entry(uint64_t{1} << bit);
    const bool offset = bit >= 9 && bit <= 55;
    EXPECT_EQ(entry.host_offset().value() != 0, offset) << bit;
    EXPECT_EQ(entry.zero_flag(), bit == 0) << bit;
    EXPECT_EQ(entry.reserved_bits(false) != 0, !offset && bit != 0) << bit;
    EXPECT_EQ(entry.reserved_bits(true) != 0, !offset) << bit;
  }
  EXPECT_TRUE(L2Entry(kCopiedFlag).copied());
  EXPECT_EQ(L2Entry(kCompressedFlag | 0x3f000000000001fe).reserved_bits(true),
            0u);
}

// Written by `qemu-img convert -c`: 64 KiB clusters, data at 0x50000, the
// second run directly behind the first.
TEST(L2EntryTest, CompressedDescriptorOfARealImage) {
  const CompressedDescriptor first =
      L2Entry(0x4000000000050000).compressed(kStandard);
  EXPECT_EQ(first.offset, HostOffset(0x50000));
  EXPECT_EQ(first.sectors, 1u);
  EXPECT_EQ(first.length, 512u);
  const CompressedDescriptor second =
      L2Entry(0x404000000005004f).compressed(kStandard);
  EXPECT_EQ(second.offset, HostOffset(0x5004f));
  EXPECT_EQ(second.sectors, 2u);
  EXPECT_EQ(second.length, 2u * 512 - 0x4f);
}

TEST(L2EntryTest, CompressedDescriptorsRoundTripForEveryClusterSize) {
  for (uint32_t bits = kMinClusterBits; bits <= kMaxClusterBits; ++bits) {
    const Geometry geometry = *Geometry::Create(bits, 4, false);
    const uint32_t x = geometry.compressed_offset_bits();
    const uint64_t most_sectors = uint64_t{1} << (bits - 8);
    for (uint64_t sectors : {uint64_t{1}, most_sectors / 2, most_sectors}) {
      for (uint32_t bit = 0; bit < x; ++bit) {
        const uint64_t raw =
            kCompressedFlag | (sectors - 1) << x | uint64_t{1} << bit;
        const CompressedDescriptor found = L2Entry(raw).compressed(geometry);
        ASSERT_EQ(found.offset.value(), uint64_t{1} << bit);
        ASSERT_EQ(found.sectors, sectors);
        ASSERT_EQ(found.length,
                  sectors * 512 - (bit < 9 ? uint64_t{1} << bit : 0));
        ASSERT_EQ(L2Entry::FromCompressed(found, geometry).raw(), raw);
      }
    }
  }
}

TEST(L2EntryTest, Types) {
  struct Case {
    const char* name;
    uint64_t raw;
    L2EntryType standard;
    L2EntryType extended;
    L2EntryType with_data_file;
  };
  using enum L2EntryType;
  const Case cases[] = {
      {"nothing", 0, kUnallocated, kUnallocated, kUnallocated},
      {"COPIED alone", kCopiedFlag, kUnallocated, kUnallocated, kNormal},
      {"offset", 0x50000, kNormal, kNormal, kNormal},
      {"zero flag", kZeroFlag, kZeroPlain, kUnallocated, kZeroPlain},
      {"zero flag and COPIED", kZeroFlag | kCopiedFlag, kZeroPlain,
       kUnallocated, kZeroPlain},
      {"zero flag and offset", 0x50001, kZeroAllocated, kNormal,
       kZeroAllocated},
      {"compressed", 0x4000000000050000, kCompressed, kCompressed, kCompressed},
      {"compressed, low bit", 0x4000000000050001, kCompressed, kCompressed,
       kCompressed},
      {"reserved bits only", 0x01000000000001fe, kUnallocated, kUnallocated,
       kUnallocated},
  };
  for (const Case& c : cases) {
    const L2Entry entry(c.raw);
    EXPECT_EQ(TypeOf(entry, kStandard, false), c.standard) << c.name;
    EXPECT_EQ(TypeOf(entry, kExtended, false), c.extended) << c.name;
    EXPECT_EQ(TypeOf(entry, kStandard, true), c.with_data_file) << c.name;
  }
}

TEST(L2EntryTest, StandardVerdicts) {
  struct Case {
    const char* name;
    uint64_t raw;
    uint32_t version;
    bool data_file;
    uint32_t issues;
  };
  const Case cases[] = {
      {"healthy", 0x8000000000050000, 3, false, 0},
      {"healthy zero", 0x0000000000000001, 3, false, 0},
      {"low reserved", 0x8000000000050002, 3, false, kL2ReservedBitsSet},
      {"high reserved", 0xa000000000050000, 3, false, kL2ReservedBitsSet},
      {"unaligned", 0x8000000000050200, 3, false, kL2OffsetUnaligned},
      {"zero flag in v2", 0x8000000000050001, 2, false, kL2ZeroFlagInVersion2},
      {"healthy compressed", 0x4000000000050001, 2, false, 0},
      {"compressed, COPIED", 0xc000000000050000, 3, false,
       kL2CompressedWithCopied},
      {"compressed, data file", 0x4000000000050000, 3, true,
       kL2CompressedWithDataFile},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(L2EntryIssues(L2Entry(c.raw), kStandard, c.version, c.data_file),
              c.issues)
        << c.name;
  }
}

TEST(L2EntryTest, CompressedOffsetOfSmallClustersMustStayBelowBit56) {
  const Geometry smallest = *Geometry::Create(9, 4, false);
  const L2Entry highest(kCompressedFlag | uint64_t{1} << 55);
  EXPECT_EQ(L2EntryIssues(highest, smallest, 3, false), 0u);
  const L2Entry beyond(kCompressedFlag | uint64_t{1} << 56);
  EXPECT_EQ(L2EntryIssues(beyond, smallest, 3, false),
            kL2CompressedOffsetTooLarge);
}

TEST(L2EntryTest, ExtendedVerdicts) {
  struct Case {
    const char* name;
    uint64_t raw;
    uint64_t bitmap;
    bool data_file;
    uint32_t issues;
  };
  const Case cases[] = {
      {"healthy", 0x8000000000050000, 0xfffffffe00000001, false, 0},
      {"zero subclusters need no offset", 0, 0xffffffff00000000, false, 0},
      {"both", 0x8000000000050000, 0x0000000100000001, false,
       kL2SubclusterAllocatedAndZero},
      {"no offset", 0, 0x0000000000000001, false,
       kL2SubclusterAllocatedWithoutOffset},
      {"offset 0 of a data file", kCopiedFlag, 0x0000000000000001, true, 0},
      {"data file, not COPIED", 0, 0x0000000000000001, true,
       kL2SubclusterAllocatedWithoutOffset},
      {"zero flag", 0x8000000000050001, 1, false, kL2ZeroFlagWithExtendedL2},
      {"compressed, bitmap", 0x4000000000050000, 1, false,
       kL2CompressedWithBitmap},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(
        L2EntryIssues(L2Entry(c.raw, c.bitmap), kExtended, 3, c.data_file),
        c.issues)
        << c.name;
  }
}

}  // namespace
}  // namespace qcow2
