// Planning the repair of L1 entries: each kind of damage to a small image, what
// the entry is afterwards, and what the plan says of it.
#include <cstdint>
#include <string>

#include "checker/test_image.h"
#include "engine/format/entry_flags.h"
#include "gtest/gtest.h"
#include "repair/entry_testing.h"
#include "repair/testing.h"

namespace qcow2::repair {
namespace {

using checker::TestImage;

TEST_P(AnyShapeTest, FlippedBitOfAnL1EntryIsMendedToTheOrphanTable) {
  const uint64_t entry = TableEntry(image_);
  image_.SetL1(0, entry ^ uint64_t{1} << 41);
  ExpectL1Mended(image_, 0, entry,
                 {"recovered 0+" + std::to_string(3 * image_.cluster_size())});
}

TEST_P(AnyShapeTest, L1EntryPastTheEndIsClearedAndNamedAsLost) {
  image_.SetL1(0, PastEnd(image_));
  for (uint64_t i = kL2; i < kFree; ++i) image_.SetCount(i, 0);
  ExpectL1Mended(image_, 0, 0,
                 {"lost 0+" + std::to_string(3 * image_.cluster_size())});
}

INSTANTIATE_TEST_SUITE_P(Shapes, AnyShapeTest, testing::ValuesIn(kShapes),
                         NameOfShape);

TEST(L1EntryStepTest, UnalignedL1EntryIsMendedToTheOrphanTable) {
  TestImage image;
  const uint64_t entry = TableEntry(image);
  image.SetL1(0, entry | 0x600);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L1At(image, planned, 0), entry);
  ExpectCleanAndDone(planned);
}

TEST(L1EntryStepTest, UnalignedL1EntryWithoutOrphanStays) {
  TestImage image;
  const uint64_t entry = image.OffsetOf(kL2) | kCopiedFlag | 0x600;
  image.SetL1(0, entry);
  for (uint64_t i = kL2; i < kFree; ++i) image.SetCount(i, 0);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L1At(image, planned, 0), entry);
  EXPECT_TRUE(planned.repair.plan.empty());

  ExpectL1Mended(image, 0, 0, {"lost 0+12288"}, Mode::kSalvage);
}

TEST(L1EntryStepTest, L1EntryThatNamesGuestDataIsMendedToTheOrphanTable) {
  TestImage image;
  image.WriteText(image.OffsetOf(kData), Prose(4096));
  const uint64_t entry = TableEntry(image);
  image.SetL1(0, image.OffsetOf(kData) | kCopiedFlag);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L1At(image, planned, 0), entry);
  ExpectCleanAndDone(planned);
}

// What replaces the entry here is no bit away from what it was.
constexpr uint64_t kElsewhere[] = {0x3e8000, 0x3e8a00, 0x8a00};

TEST(L1EntryStepTest, L1EntryThatLeadsNowhereNamesTheOnlyLostTable) {
  for (const uint64_t value : kElsewhere) {
    TestImage image;
    image.SetL1(0, value);
    ExpectL1Mended(image, 0, TableEntry(image), {"recovered 0+12288"});
  }
}

TEST(L1EntryStepTest, LostTableMayHaveBeenThatOfAnEntryWipedToZeros) {
  TestImage image;
  image.header.l1_size = 2;
  image.header.size = 600 * image.cluster_size();
  image.SetL1(0, 0);
  image.SetL1(1, kElsewhere[0]);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L1At(image, planned, 0), 0);
  EXPECT_EQ(L1At(image, planned, 1), 0);
}

TEST(L1EntryStepTest, LeakThatTheLostTableDoesNotExplainLeavesItLost) {
  for (const uint64_t value : kElsewhere) {
    TestImage image;
    image.SetL1(0, value);
    image.SetCount(kFree, 1);
    const Planned planned = PlanFor(image.file());
    EXPECT_NE(L1At(image, planned, 0), TableEntry(image));
  }
}

TEST(L1EntryStepTest, LostTableThatNamesAClusterInUseIsNotNamed) {
  TestImage image;
  image.SetL1(0, kElsewhere[0]);
  image.SetL2(1, image.OffsetOf(kL1) | kCopiedFlag);
  image.SetCount(kData + 1, 0);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L1At(image, planned, 0), 0);
}

TEST(L1EntryStepTest, TableThatIsFoundIsMendedAsWell) {
  TestImage image;
  const uint64_t entry = TableEntry(image);
  image.SetL1(0, entry ^ uint64_t{1} << 40);
  image.SetL2(1, DataEntry(image, 1) ^ uint64_t{1} << 41);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L1At(image, planned, 0), entry);
  EXPECT_EQ(L2At(image, planned, 1), DataEntry(image, 1));
  ExpectCleanAndDone(planned);
}

TEST(L1EntryStepTest, L1EntryThatNamesAnOrphanOfOtherShapeIsCleared) {
  TestImage image;
  image.SetL1(0, (image.OffsetOf(kL2) | kCopiedFlag) ^ uint64_t{1} << 41);
  image.WriteText(image.OffsetOf(kL2), std::string(4096, 'x'));
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L1At(image, planned, 0), 0);
  EXPECT_EQ(GuestChangesOf(planned), Texts{"lost 0+12288"});
}

TEST(L1EntryStepTest, L1EntryThatNamesTheWrongTableIsMended) {
  TestImage image;
  const uint64_t entry = TableEntry(image);
  image.SetL1(0, entry ^ image.OffsetOf(8));
  ExpectL1Mended(image, 0, entry, {"recovered 0+12288"});
}

TEST(L1EntryStepTest, L1EntryWithFlagsOnlyIsCleared) {
  TestImage image;
  image.header.size = 3 * image.cluster_size();
  image.header.l1_size = 2;
  image.SetL1(1, kCopiedFlag);
  ExpectL1Mended(image, 1, 0, {});
}

TEST(L1EntryStepTest, L1EntryWithAReservedBitAsWellIsMended) {
  TestImage image;
  const uint64_t entry = TableEntry(image);
  image.SetL1(0, (entry ^ uint64_t{1} << 40) | 1);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L1At(image, planned, 0), entry);
  ExpectCleanAndDone(planned);
}

}  // namespace
}  // namespace qcow2::repair
