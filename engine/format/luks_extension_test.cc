#include "engine/format/luks_extension.h"

#include <algorithm>

#include "engine/format/test_bytes.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

TEST(LuksExtensionTest, DecodesWhatQemuImgWrote) {
  const LuksExtension extension =
      LuksExtension::Decode(FromHex("000000000004000000000000001f9000"));
  EXPECT_EQ(extension.offset, HostOffset(0x40000));
  EXPECT_EQ(extension.length, 2068480u);
}

TEST(LuksExtensionTest, RandomBytesRoundTripAtAnyLength) {
  std::mt19937 random(1);
  for (int i = 0; i < 500; ++i) {
    std::vector<std::byte> bytes = RandomBytes(random, random() % 20);
    const auto encoded = LuksExtension::Decode(bytes).Encode();
    bytes.resize(kLuksExtensionSize);
    ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), encoded.begin()));
  }
}

TEST(LuksExtensionTest, Verdicts) {
  struct Case {
    const char* name;
    LuksExtension extension;
    uint64_t data_length;
    uint32_t issues;
  };
  const Case cases[] = {
      {"healthy", {HostOffset(0x40000), 2068480}, 16, 0},
      {"length", {HostOffset(0x40000), 592}, 8, kLuksExtensionBadLength},
      {"unaligned", {HostOffset(0x40200), 592}, 16, kLuksExtensionUnaligned},
      {"offset 0", {HostOffset(0), 592}, 16, kLuksExtensionOffsetZero},
      {"small", {HostOffset(0x40000), 591}, 16, kLuksExtensionAreaTooSmall},
  };
  const Geometry geometry = *Geometry::Create(16, 4, false);
  for (const Case& c : cases) {
    EXPECT_EQ(LuksExtensionIssues(c.extension, c.data_length, geometry),
              c.issues)
        << c.name;
  }
}

}  // namespace
}  // namespace qcow2
