// Planning the repair of header fields: each kind of damage to a small image,
// and what the view is afterwards.
#include <cstdint>
#include <vector>

#include "checker/test_image.h"
#include "engine/codec/deflate.h"
#include "engine/format/entry_flags.h"
#include "engine/format/header_extension.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"
#include "repair/metadata_edit.h"
#include "repair/testing.h"

namespace qcow2::repair {
namespace {

using checker::BytesOf;
using checker::Problem;
using checker::TestImage;

TEST(HeaderStepTest, L1TableIsMadeAsLongAsItGoesOn) {
  TestImage image;
  // A second L1 entry, for data behind the first L2 table's range.
  image.header.size = uint64_t{2} * 512 * image.cluster_size();
  image.header.l1_size = 1;
  image.SetL1(1, image.OffsetOf(8) | kCopiedFlag);
  image.WriteBe64(image.OffsetOf(8), image.OffsetOf(9) | kCopiedFlag);
  image.SetCount(8, 1);
  image.SetCount(9, 1);
  const Planned planned = ExpectMended(image, Problem::kL1TableTooSmall);
  EXPECT_EQ(HeaderOf(*planned.view).l1_size, 2);
  EXPECT_EQ(HeaderOf(*planned.view).size, image.header.size);
  ASSERT_EQ(planned.repair.plan.guest_changes().size(), 1);
  const GuestChange& change = planned.repair.plan.guest_changes().front();
  EXPECT_EQ(change.kind, GuestChange::Kind::kRecovered);
  EXPECT_EQ(change.range.offset_bytes, 512 * image.cluster_size());
}

TEST(HeaderStepTest, L1TableThatWouldTakeSomeoneElsesClusterStays) {
  TestImage image;
  // More entries than a cluster holds: the L2 table is behind the L1 table.
  image.header.size = uint64_t{600} * 512 * image.cluster_size();
  ExpectLeft(image, Problem::kL1TableTooSmall);
}

TEST(HeaderStepTest, L1TableFollowedByNonsenseStays) {
  TestImage image;
  image.header.size = uint64_t{2} * 512 * image.cluster_size();
  image.SetL1(1, 0x1234567);
  ExpectLeft(image, Problem::kL1TableTooSmall);
}

TEST(HeaderStepTest, RefcountTableHasItsLength) {
  TestImage image;
  image.header.refcount_table_clusters = 1u << 31 | 1;
  const Planned planned = ExpectMended(image, Problem::kRefcountTableTooLarge);
  EXPECT_EQ(HeaderOf(*planned.view).refcount_table_clusters, 1);
}

TEST(HeaderStepTest, HeaderLengthIsWhereExtensionsBegin) {
  for (const uint32_t wrong : {0u, 96u, 109u, 8192u + 112u, 1u << 31}) {
    TestImage image;
    image.AddExtension(kExtensionFeatureNames, std::vector<std::byte>());
    image.AddExtension(0x12345678, BytesOf("unknown"));
    MemoryFile& file = image.file();
    ASSERT_TRUE(WriteBe32(file, kHeaderLengthAt, wrong).ok());
    const Planned planned = PlanDeeply(file);
    ExpectClean(planned.repair.after);
    EXPECT_EQ(HeaderOf(*planned.view).header_length, 112) << wrong;
    EXPECT_EQ(BytesAt(*planned.view, 104, 64), BytesAt(file, 104, 64));
    ExpectNothingMore(*planned.view);
  }
}

TEST(HeaderStepTest, PaddingIsCleared) {
  TestImage image;
  image.header.padding[2] = std::byte{7};
  const Planned planned = ExpectMended(image, Problem::kHeaderPadding);
  EXPECT_EQ(Be64At(*planned.view, 104), 0);
}

TEST(HeaderStepTest, CompressionBitFollowsTheTypeWithoutCompressedClusters) {
  TestImage zstd;
  zstd.header.compression_type = kCompressionZstd;
  Planned planned = ExpectMended(zstd, Problem::kCompressionTypeBit);
  EXPECT_TRUE(
      HeaderOf(*planned.view).has_incompatible(kIncompatibleCompressionType));
  TestImage deflate;
  deflate.header.incompatible_features = kIncompatibleCompressionType;
  planned = ExpectMended(deflate, Problem::kCompressionTypeBit);
  EXPECT_EQ(HeaderOf(*planned.view).incompatible_features, 0);
}

// The type field says zstd, but the data is deflate data.
TEST(HeaderStepTest, CompressedClustersTellTheCompressionType) {
  TestImage image;
  image.header.compression_type = kCompressionZstd;
  const std::vector<std::byte> cluster(image.cluster_size(), std::byte{'x'});
  image.Write(image.OffsetOf(kData),
              *CompressCluster(CompressionType::kDeflate, cluster));
  image.SetL2(0, CompressedWord(image, image.OffsetOf(kData), 1));
  const Planned planned = ExpectMended(image, Problem::kCompressionTypeBit);
  EXPECT_EQ(HeaderOf(*planned.view).compression_type, kCompressionDeflate);
  EXPECT_EQ(HeaderOf(*planned.view).incompatible_features, 0);
}

TEST(HeaderStepTest, UnreadableCompressedClustersTellNothing) {
  TestImage image;
  image.header.compression_type = kCompressionZstd;
  image.WriteText(image.OffsetOf(kData), "neither of the two");
  image.SetL2(0, CompressedWord(image, image.OffsetOf(kData), 1));
  const Planned planned = PlanDeeply(image.file());
  EXPECT_TRUE(planned.repair.after.Found(Problem::kCompressionTypeBit));
}

TEST(HeaderStepTest, AutoclearBitsWithNothingToVouchForAreCleared) {
  TestImage image;
  image.header.autoclear_features =
      kAutoclearBitmaps | kAutoclearRawData | 1 << 5;
  const Planned planned = ExpectMended(image, Problem::kRawWithoutDataFile);
  EXPECT_NE(EditOf(planned, Problem::kAutoclearWithoutExtension), nullptr);
  EXPECT_EQ(HeaderOf(*planned.view).autoclear_features, 1 << 5);
}

TEST(HeaderStepTest, RawBitBesideADataFileNameStays) {
  TestImage image;
  image.header.autoclear_features = kAutoclearRawData;
  image.AddExtension(kExtensionDataFile, BytesOf("disk.data"));
  ExpectLeft(image, Problem::kRawWithoutDataFile);
}

}  // namespace
}  // namespace qcow2::repair
