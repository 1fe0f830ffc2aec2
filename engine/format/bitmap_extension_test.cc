#include "engine/format/bitmap_extension.h"

#include <algorithm>

#include "engine/format/test_bytes.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

// Data of the extension that `qemu-img bitmap --add` wrote for two bitmaps.
constexpr char kTwoBitmaps[] =
    "0000000200000000000000000000004800000000000b0000";

TEST(BitmapExtensionTest, DecodesWhatQemuImgWrote) {
  const BitmapExtension extension =
      BitmapExtension::Decode(FromHex(kTwoBitmaps));
  EXPECT_EQ(extension.nb_bitmaps, 2u);
  EXPECT_EQ(extension.directory_size, 72u);
  EXPECT_EQ(extension.directory_offset, HostOffset(0xb0000));
  EXPECT_EQ(
      BitmapExtensionIssues(extension, 24, *Geometry::Create(16, 4, false)),
      0u);
}

TEST(BitmapExtensionTest, RandomBytesRoundTripAtAnyLength) {
  std::mt19937 random(1);
  for (int i = 0; i < 500; ++i) {
    std::vector<std::byte> bytes = RandomBytes(random, random() % 30);
    const auto encoded = BitmapExtension::Decode(bytes).Encode();
    bytes.resize(kBitmapExtensionSize);
    ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), encoded.begin()));
  }
}

TEST(BitmapExtensionTest, Verdicts) {
  struct Case {
    const char* name;
    BitmapExtension extension;
    uint64_t data_length;
    uint32_t issues;
  };
  const HostOffset aligned(0xb0000);
  const Case cases[] = {
      {"healthy", {1, 0, 32, aligned}, 24, 0},
      {"length", {1, 0, 32, aligned}, 32, kBitmapExtensionBadLength},
      {"reserved", {1, 1, 32, aligned}, 24, kBitmapExtensionReservedSet},
      {"none", {0, 0, 0, aligned}, 24, kBitmapExtensionNoBitmaps},
      {"most", {65535, 0, uint64_t{65535} * 1024, aligned}, 24, 0},
      {"too many",
       {65536, 0, uint64_t{65536} * 32, aligned},
       24,
       kBitmapExtensionTooManyBitmaps},
      {"unaligned",
       {1, 0, 32, HostOffset(0x200)},
       24,
       kBitmapExtensionDirectoryUnaligned},
      {"too large",
       {1, 0, uint64_t{65535} * 1024 + 1, aligned},
       24,
       kBitmapExtensionDirectoryTooLarge},
      {"too small", {2, 0, 63, aligned}, 24, kBitmapExtensionDirectoryTooSmall},
  };
  const Geometry geometry = *Geometry::Create(16, 4, false);
  for (const Case& c : cases) {
    EXPECT_EQ(BitmapExtensionIssues(c.extension, c.data_length, geometry),
              c.issues)
        << c.name;
  }
}

}  // namespace
}  // namespace qcow2
