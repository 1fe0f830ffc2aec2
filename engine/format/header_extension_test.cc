#include "engine/format/header_extension.h"

#include <algorithm>

#include "engine/format/byte_order.h"
#include "engine/format/test_bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kBegin = 112;

// A cluster 0 of `size` bytes with `area` behind a header of 112 bytes.
std::vector<std::byte> ClusterWith(const std::vector<std::byte>& area,
                                   size_t size = 512) {
  std::vector<std::byte> cluster(size);
  std::copy(area.begin(), area.end(), cluster.begin() + kBegin);
  return cluster;
}

std::vector<std::byte> Extension(uint32_t type, size_t length) {
  return EncodeHeaderExtension(type,
                               std::vector<std::byte>(length, std::byte{0x55}));
}

std::vector<std::byte> Joined(
    std::initializer_list<std::vector<std::byte>> parts) {
  std::vector<std::byte> all;
  for (const auto& part : parts) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

TEST(HeaderExtensionTest, FindsExtensionsUpToTheMarker) {
  const auto cluster =
      ClusterWith(Joined({Extension(kExtensionBackingFormat, 5),
                          Extension(0x12345678, 0), Extension(7, 16)}));
  const HeaderExtensions found = DecodeHeaderExtensions(cluster, kBegin, 512);
  ASSERT_EQ(found.extensions.size(), 3u);
  EXPECT_EQ(found.extensions[0].type, kExtensionBackingFormat);
  EXPECT_EQ(found.extensions[0].offset, kBegin);
  EXPECT_EQ(found.extensions[0].length, 5u);
  EXPECT_EQ(found.extensions[0].data.size(), 5u);
  EXPECT_EQ(found.extensions[0].data.data(), &cluster[kBegin + 8]);
  EXPECT_EQ(found.extensions[0].padding.size(), 3u);
  EXPECT_EQ(found.extensions[1].offset, kBegin + 16);
  EXPECT_EQ(found.extensions[2].offset, kBegin + 24);
  EXPECT_EQ(found.end, ExtensionAreaEnd::kMarker);
  EXPECT_EQ(found.end_offset, kBegin + 48);
  EXPECT_EQ(found.Find(0x12345678), &found.extensions[1]);
  EXPECT_EQ(found.Find(kExtensionLuks), nullptr);
}

TEST(HeaderExtensionTest, EndsWithTheArea) {
  const auto cluster = ClusterWith(Extension(7, 8));
  const HeaderExtensions found =
      DecodeHeaderExtensions(cluster, kBegin, kBegin + 16);
  EXPECT_EQ(found.extensions.size(), 1u);
  EXPECT_EQ(found.end, ExtensionAreaEnd::kAreaEnd);
  EXPECT_EQ(found.end_offset, kBegin + 16);
  EXPECT_THAT(DecodeHeaderExtensions(cluster, 600, 512).extensions, IsEmpty());
}

TEST(HeaderExtensionTest, PaddingMayBeCutByTheAreasEnd) {
  const auto cluster = ClusterWith(Extension(7, 9));
  const HeaderExtensions found =
      DecodeHeaderExtensions(cluster, kBegin, kBegin + 18);
  ASSERT_EQ(found.extensions.size(), 1u);
  EXPECT_EQ(found.extensions[0].padding.size(), 1u);
  EXPECT_EQ(found.end, ExtensionAreaEnd::kAreaEnd);
}

TEST(HeaderExtensionTest, LengthBeyondTheAreaIsAnOverflow) {
  auto cluster = ClusterWith(Joined({Extension(7, 8), Extension(8, 8)}));
  for (uint32_t length : {uint32_t{512 - kBegin - 16 - 8 + 1}, 0xffffffffu}) {
    StoreBe32(&cluster[kBegin + 16 + 4], length);
    const HeaderExtensions found = DecodeHeaderExtensions(cluster, kBegin, 512);
    EXPECT_EQ(found.extensions.size(), 1u);
    EXPECT_EQ(found.end, ExtensionAreaEnd::kOverflow);
    EXPECT_EQ(found.end_offset, kBegin + 16);
    EXPECT_EQ(found.end_type, 8u);
    EXPECT_EQ(found.end_length, length);
  }
}

TEST(HeaderExtensionTest, AFileCutShortIsNoOverflow) {
  const auto cluster = ClusterWith(Joined({Extension(7, 8), Extension(8, 16)}));
  const std::span<const std::byte> whole(cluster);
  for (size_t size = 0; size < kBegin + 40; ++size) {
    const HeaderExtensions found =
        DecodeHeaderExtensions(whole.first(size), kBegin, 512);
    EXPECT_EQ(found.end, ExtensionAreaEnd::kInputEnd) << size;
    EXPECT_EQ(found.extensions.size(), size < kBegin + 16 ? 0u : 1u) << size;
  }
}

TEST(HeaderExtensionTest, RandomAreasAreKeptByteForByte) {
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    std::vector<std::byte> area = RandomBytes(random, random() % 120);
    // Lengths that fit now and then.
    for (size_t at = 4; at + 4 <= area.size(); at += 8) {
      if (random() % 4 != 0) StoreBe32(&area[at], random() % 20);
    }
    const HeaderExtensions found = DecodeHeaderExtensions(area, 0, area.size());
    std::vector<std::byte> encoded;
    for (const HeaderExtension& extension : found.extensions) {
      ASSERT_EQ(extension.offset, encoded.size());
      const auto bytes = EncodeHeaderExtension(extension);
      encoded.insert(encoded.end(), bytes.begin(), bytes.end());
    }
    // The last one's padding may have been cut; the encoder completes it only
    // if none of it was there.
    ASSERT_GE(encoded.size(), found.end_offset);
    encoded.resize(found.end_offset);
    ASSERT_TRUE(std::equal(encoded.begin(), encoded.end(), area.begin()));
  }
}

TEST(HeaderExtensionTest, RepeatedNamesKnownTypesOnce) {
  const auto bytes =
      Joined({Extension(kExtensionLuks, 16), Extension(99, 0),
              Extension(kExtensionLuks, 16), Extension(99, 0),
              Extension(kExtensionLuks, 16), Extension(kExtensionBitmaps, 24)});
  EXPECT_THAT(
      RepeatedExtensions(DecodeHeaderExtensions(bytes, 0, bytes.size())),
      ElementsAre(kExtensionLuks));
}

TEST(HeaderExtensionTest, AreaEndsAtTheBackingNameInCluster0) {
  Header header;
  EXPECT_EQ(ExtensionAreaEndOffset(header, 65536), 65536u);
  header.backing_file_offset = HostOffset(1000);
  EXPECT_EQ(ExtensionAreaEndOffset(header, 65536), 1000u);
  header.backing_file_offset = HostOffset(100);
  EXPECT_EQ(ExtensionAreaEndOffset(header, 65536), 65536u);
  header.backing_file_offset = HostOffset(65536);
  EXPECT_EQ(ExtensionAreaEndOffset(header, 65536), 65536u);
}

TEST(HeaderExtensionTest, TheAreaIsFoundBehindAHeaderOfNoLength) {
  std::vector<std::byte> cluster(512);
  Header header;
  header.version = 3;
  for (const uint32_t length : {0u, 103u, 513u}) {
    header.header_length = length;
    EXPECT_EQ(HeaderExtensionsBegin(header, cluster), 0u) << length;
  }
  for (const uint32_t begin : {kHeaderLengthV3, kHeaderLengthKnown}) {
    std::vector<std::byte> with = cluster;
    StoreBe32(&with[begin], kExtensionBitmaps);
    EXPECT_EQ(HeaderExtensionsBegin(header, with), begin);
  }
  header.header_length = 200;
  EXPECT_EQ(HeaderExtensionsBegin(header, cluster), 200u);
  header.version = 2;
  EXPECT_EQ(HeaderExtensionsBegin(header, cluster), kHeaderLengthV2);
}

TEST(HeaderExtensionTest, KnownTypesHaveNames) {
  EXPECT_EQ(ExtensionTypeName(kExtensionBitmaps), "bitmaps");
  EXPECT_EQ(ExtensionTypeName(kExtensionLuks), "LUKS header pointer");
  EXPECT_EQ(ExtensionTypeName(0x1234), "");
}

}  // namespace
}  // namespace qcow2
