#include "checker/deep_pass.h"

#include <algorithm>
#include <string>
#include <vector>

#include "checker/passes.h"
#include "checker/test_image.h"
#include "engine/codec/deflate.h"
#include "engine/format/l2_entry.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Guest cluster `i` of the L2 table in cluster 4 holds `data`, compressed, at
// `offset`.
void PutCompressed(TestImage& image, uint64_t i, uint64_t offset,
                   std::span<const std::byte> data) {
  const Geometry geometry = *Geometry::Create(12, 4, false);
  const uint64_t sectors = (offset % 512 + data.size() + 511) / 512;
  const L2Entry entry =
      L2Entry::FromCompressed({HostOffset(offset), 0, sectors}, geometry);
  image.WriteBe64(image.OffsetOf(4) + 8 * i, entry.raw());
  image.Write(offset, data);
}

std::vector<std::byte> Compressed(CompressionType type, size_t bytes = 4096) {
  std::vector<std::byte> cluster(bytes, std::byte{7});
  return *CompressCluster(type, cluster);
}

PassRun Check(TestImage image) {
  return PassRun(image.file(), [](CheckState& state) {
    ASSERT_TRUE(RunHeaderPass(state));
    RunDeepPass(state, CollectL2Tables(state));
  });
}

TEST(DeepPassTest, SoundClusters) {
  for (const CompressionType type :
       {CompressionType::kDeflate, CompressionType::kZstd}) {
    TestImage image;
    image.header.compression_type = static_cast<uint8_t>(type);
    if (type == CompressionType::kZstd) {
      image.header.incompatible_features = kIncompatibleCompressionType;
    }
    const std::vector<std::byte> data = Compressed(type);
    PutCompressed(image, 0, image.OffsetOf(8) + 3, data);
    PutCompressed(image, 1, image.OffsetOf(8) + 700, data);
    PutCompressed(image, 2, image.OffsetOf(7), data);
    EXPECT_THAT(Check(image).Codes(), IsEmpty());
  }
}

TEST(DeepPassTest, DamagedAndTooShortClusters) {
  TestImage image;
  std::vector<std::byte> damaged = Compressed(CompressionType::kDeflate);
  std::fill(damaged.begin(), damaged.end(), std::byte{0xff});
  PutCompressed(image, 0, image.OffsetOf(8), damaged);
  PutCompressed(image, 2, image.OffsetOf(9),
                Compressed(CompressionType::kDeflate, 4095));
  const PassRun run = Check(image);
  EXPECT_THAT(run.Codes(), ElementsAre("compressed-undecodable"));
  const auto findings = run.FindingsOf(Problem::kCompressedUndecodable);
  ASSERT_EQ(findings.size(), 2);
  EXPECT_EQ(findings[0].location.structure, Structure::kActiveL2);
  EXPECT_EQ(findings[0].location.table_offset, image.OffsetOf(4));
  EXPECT_EQ(findings[1].location.index, 2);
  EXPECT_EQ(findings[1].actual, image.OffsetOf(9));
  EXPECT_EQ(findings[1].host->first_cluster, 9);
  ASSERT_EQ(findings[1].guest.size(), 1);
  EXPECT_EQ(findings[1].guest[0].offset_bytes, 0x2000);
  EXPECT_EQ(findings[1].guest[0].length_bytes, 0x1000);
  EXPECT_FALSE(findings[1].detail.empty());
}

// Two entries for the same data, of which one does not allow to read it all.
TEST(DeepPassTest, OneOffsetWithTwoLengths) {
  TestImage image;
  std::vector<std::byte> cluster(4096);
  uint32_t random = 1;
  for (std::byte& byte : cluster) {
    random = random * 1664525 + 1013904223;
    byte = static_cast<std::byte>(random >> 28);
  }
  const std::vector<std::byte> data =
      *CompressCluster(CompressionType::kDeflate, cluster);
  ASSERT_GT(data.size(), 1024);
  PutCompressed(image, 2, image.OffsetOf(8), data);
  PutCompressed(image, 0, image.OffsetOf(8), std::span(data).first(512));
  PutCompressed(image, 1, image.OffsetOf(8), data);
  const auto finding = Check(image).Only(Problem::kCompressedUndecodable);
  ASSERT_TRUE(finding);
  EXPECT_EQ(finding->location.index, 0);
}

TEST(DeepPassTest, DataPastTheEndIsLeftToOtherPasses) {
  TestImage image;
  PutCompressed(image, 0, image.OffsetOf(16),
                Compressed(CompressionType::kDeflate));
  image.Truncate(image.OffsetOf(16));
  EXPECT_THAT(Check(image).Codes(), IsEmpty());
}

}  // namespace
}  // namespace qcow2::checker
