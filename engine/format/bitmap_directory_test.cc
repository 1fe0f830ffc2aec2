#include "engine/format/bitmap_directory.h"

#include <algorithm>

#include "engine/format/test_bytes.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

// The directory after `qemu-img bitmap --add b0` and `--add --disable
// bitmap-one` of an image of 1 MiB.
constexpr char kTwoBitmaps[] =
    "0000000000090000000000010000000201100002000000006230000000000000"
    "00000000000a000000000001000000000110000a000000006269746d61702d6f"
    "6e65000000000000";

TEST(BitmapDirectoryTest, DecodesWhatQemuImgWrote) {
  const auto bytes = FromHex(kTwoBitmaps);
  const std::vector<LocatedBitmap> directory = DecodeBitmapDirectory(bytes, 2);
  ASSERT_EQ(directory.size(), 2u);
  const BitmapDirectoryEntry& first = directory[0].entry;
  EXPECT_EQ(first.table_offset, HostOffset(0x90000));
  EXPECT_EQ(first.table_size, 1u);
  EXPECT_EQ(first.flags, kBitmapAuto);
  EXPECT_FALSE(first.in_use());
  EXPECT_EQ(first.type, kBitmapTypeDirtyTracking);
  EXPECT_EQ(first.granularity_bits, 16);
  EXPECT_EQ(first.name, "b0");
  EXPECT_EQ(directory[1].offset, 32u);
  EXPECT_EQ(directory[1].entry.name, "bitmap-one");
  EXPECT_EQ(directory[1].entry.flags, 0u);
  const Geometry geometry = *Geometry::Create(16, 4, false);
  EXPECT_EQ(BitmapIssues(first, geometry), 0u);
  const std::vector<BitmapDirectoryEntry> entries = {first, directory[1].entry};
  EXPECT_EQ(EncodeBitmapDirectory(entries), bytes);
}

TEST(BitmapDirectoryTest, CutShortAnywhereKeepsWhatIsThere) {
  const auto bytes = FromHex(kTwoBitmaps);
  const std::span<const std::byte> whole(bytes);
  for (size_t size = 0; size < 26; ++size) {
    const auto entry = BitmapDirectoryEntry::Decode(whole.first(size));
    EXPECT_FALSE(entry.complete()) << size;
    const auto encoded = entry.Encode();
    ASSERT_EQ(encoded.size(), size);
    ASSERT_TRUE(std::equal(encoded.begin(), encoded.end(), bytes.begin()));
  }
  EXPECT_EQ(DecodeBitmapDirectory(whole.first(32), 2).size(), 1u);
  EXPECT_EQ(DecodeBitmapDirectory(whole.first(33), 2).size(), 2u);
}

TEST(BitmapDirectoryTest, RandomBytesRoundTrip) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::byte> bytes = RandomBytes(random, random() % 100);
    // Lengths that fit now and then.
    for (size_t at : {18, 20, 21, 22}) {
      if (at < bytes.size() && random() % 4 != 0) bytes[at] = std::byte{0};
    }
    const auto encoded = BitmapDirectoryEntry::Decode(bytes).Encode();
    ASSERT_LE(encoded.size(), bytes.size());
    ASSERT_TRUE(std::equal(encoded.begin(), encoded.end(), bytes.begin()));
  }
}

TEST(BitmapDirectoryTest, TableEntriesFollowFromDiskAndGranularity) {
  const Geometry geometry = *Geometry::Create(16, 4, false);
  // A cluster of 64 KiB has 2^19 bits; at 64 KiB a bit it covers 32 GiB.
  const uint64_t covered = uint64_t{1} << 35;
  EXPECT_EQ(BitmapTableEntriesFor(0, 16, geometry), 0u);
  EXPECT_EQ(BitmapTableEntriesFor(1, 16, geometry), 1u);
  EXPECT_EQ(BitmapTableEntriesFor(covered, 16, geometry), 1u);
  EXPECT_EQ(BitmapTableEntriesFor(covered + 1, 16, geometry), 2u);
  EXPECT_EQ(BitmapTableEntriesFor(~uint64_t{0}, 255, geometry), 1u);
  const Geometry smallest = *Geometry::Create(9, 4, false);
  EXPECT_EQ(BitmapTableEntriesFor(~uint64_t{0}, 0, smallest),
            uint64_t{1} << 52);
}

TEST(BitmapDirectoryTest, Verdicts) {
  struct Case {
    const char* name;
    uint32_t issues;
    void (*damage)(BitmapDirectoryEntry&);
  };
  const Case cases[] = {
      {"healthy", 0, [](BitmapDirectoryEntry&) {}},
      {"unaligned", kBitmapTableUnaligned,
       [](BitmapDirectoryEntry& e) { e.table_offset += 8; }},
      {"no offset", kBitmapTableMissing,
       [](BitmapDirectoryEntry& e) { e.table_offset = HostOffset(0); }},
      {"no entries", kBitmapTableMissing,
       [](BitmapDirectoryEntry& e) { e.table_size = 0; }},
      {"table", kBitmapTableTooLarge,
       [](BitmapDirectoryEntry& e) { e.table_size = 0x08000001; }},
      {"flags", kBitmapReservedFlags,
       [](BitmapDirectoryEntry& e) { e.flags = 8; }},
      {"type", kBitmapUnknownType, [](BitmapDirectoryEntry& e) { e.type = 2; }},
      {"granularity 8", kBitmapBadGranularity,
       [](BitmapDirectoryEntry& e) { e.granularity_bits = 8; }},
      {"granularity 32", kBitmapBadGranularity,
       [](BitmapDirectoryEntry& e) { e.granularity_bits = 32; }},
      {"no name", kBitmapNameEmpty,
       [](BitmapDirectoryEntry& e) { e.name.clear(); }},
      {"longest name", 0,
       [](BitmapDirectoryEntry& e) { e.name = std::string(1023, 'n'); }},
      {"name", kBitmapNameTooLong,
       [](BitmapDirectoryEntry& e) { e.name = std::string(1024, 'n'); }},
      {"extra data", kBitmapIncompatibleExtraData,
       [](BitmapDirectoryEntry& e) { e.extra_data.resize(1); }},
      {"compatible extra data", 0,
       [](BitmapDirectoryEntry& e) {
         e.extra_data.resize(1);
         e.flags = kBitmapExtraDataCompatible;
       }},
      {"cut short", kBitmapCutShort,
       [](BitmapDirectoryEntry& e) { e.missing_name = 1; }},
  };
  const Geometry geometry = *Geometry::Create(16, 4, false);
  for (const Case& c : cases) {
    BitmapDirectoryEntry entry;
    entry.table_offset = HostOffset(0x90000);
    entry.table_size = 1;
    entry.name = "b0";
    c.damage(entry);
    EXPECT_EQ(BitmapIssues(entry, geometry), c.issues) << c.name;
  }
}

}  // namespace
}  // namespace qcow2
