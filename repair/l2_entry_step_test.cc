// Planning the repair of standard L2 entries: each kind of damage to a small
// image, what the entry is afterwards, and what the plan says of it.
#include <cstdint>
#include <string>
#include <utility>

#include "checker/test_image.h"
#include "engine/format/entry_flags.h"
#include "engine/format/header_extension.h"
#include "engine/format/l2_entry.h"
#include "engine/storage/faulty_file.h"
#include "gtest/gtest.h"
#include "repair/entry_testing.h"
#include "repair/testing.h"

namespace qcow2::repair {
namespace {

using checker::CheckStatus;
using checker::Problem;
using checker::RepairAction;
using checker::TestImage;

TEST_P(AnyShapeTest, FlippedBitIsMendedToTheOrphan) {
  const uint64_t bit = uint64_t{1} << 40;
  image_.SetL2(1, DataEntry(image_, 1) ^ bit);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(L2At(image_, planned, 1), DataEntry(image_, 1));
  const uint64_t size = image_.cluster_size();
  EXPECT_EQ(GuestChangesOf(planned), Texts{"recovered " + std::to_string(size) +
                                           "+" + std::to_string(size)});
  const Edit* edit = EditOf(planned, Problem::kL2EntryPastEnd);
  ASSERT_NE(edit, nullptr);
  EXPECT_EQ(edit->action, RepairAction::kMendEntry);
  EXPECT_NE(edit->before.find("past the end of the file"), std::string::npos);
  EXPECT_NE(edit->where.find("entry 1"), std::string::npos);
  ExpectCleanAndDone(planned);
}

TEST_P(AnyShapeTest, ReservedBitsAreCleared) {
  image_.SetL2(1, DataEntry(image_, 1) | uint64_t{1} << 57 | 0x10);
  const uint64_t entry = TableEntry(image_);
  image_.SetL1(0, entry | uint64_t{1} << 59 | 1);
  const Planned planned = PlanFor(image_.file());
  EXPECT_EQ(L2At(image_, planned, 1), DataEntry(image_, 1));
  EXPECT_EQ(L1At(image_, planned, 0), entry);
  EXPECT_EQ(GuestChangesOf(planned), Texts{});
  EXPECT_NE(EditOf(planned, Problem::kL1EntryReserved), nullptr);
  EXPECT_NE(EditOf(planned, Problem::kL2EntryReserved), nullptr);
  ExpectCleanAndDone(planned);
}

TEST_P(AnyShapeTest, EntryPastTheEndReadsZerosAndIsNamedAsLost) {
  image_.SetL2(1, PastEnd(image_));
  image_.SetL2(2, PastEnd(image_) + image_.cluster_size());
  image_.SetCount(kData + 1, 0);
  image_.SetCount(kData + 2, 0);
  const Planned planned = PlanFor(image_.file());
  const uint64_t zeros = GetParam().version >= 3 ? kZeroFlag : 0;
  EXPECT_EQ(L2At(image_, planned, 1), zeros);
  EXPECT_EQ(L2At(image_, planned, 2), zeros);
  const uint64_t size = image_.cluster_size();
  EXPECT_EQ(GuestChangesOf(planned), Texts{"lost " + std::to_string(size) +
                                           "+" + std::to_string(2 * size)});
  const Edit* edit = EditOf(planned, Problem::kL2EntryPastEnd);
  ASSERT_NE(edit, nullptr);
  EXPECT_EQ(edit->action, RepairAction::kZeroEntry);
  EXPECT_EQ(edit->count, 2);
  EXPECT_NE(edit->where.find("entries 1-2"), std::string::npos);
  ExpectCleanAndDone(planned);
}

INSTANTIATE_TEST_SUITE_P(Shapes, AnyShapeTest, testing::ValuesIn(kShapes),
                         NameOfShape);

TEST(L2EntryStepTest, UnalignedEntryIsMendedToTheOrphan) {
  TestImage image;
  image.SetL2(1, DataEntry(image, 1) | 0xa00);
  ExpectL2Mended(image, 1, DataEntry(image, 1), {"recovered 4096+4096"});
}

TEST(L2EntryStepTest, UnalignedEntryWithoutOrphanStays) {
  TestImage image;
  image.SetL2(1, DataEntry(image, 1) | 0xa00);
  image.SetCount(kData + 1, 0);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), DataEntry(image, 1) | 0xa00);
  EXPECT_EQ(EditOf(planned, Problem::kL2EntryUnaligned), nullptr);
  EXPECT_EQ(planned.repair.after.status, CheckStatus::kCorrupt);

  ExpectL2Mended(image, 1, kZeroFlag, {"lost 4096+4096"}, Mode::kSalvage);
}

TEST(L2EntryStepTest, UnalignedEntryWithoutDataNeedsNoCluster) {
  TestImage image;
  image.SetL2(1, (DataEntry(image, 1) | 0xa00 | kZeroFlag));
  image.SetCount(kData + 1, 0);
  ExpectL2Mended(image, 1, kZeroFlag, {"recovered 4096+4096"});
}

TEST(L2EntryStepTest, UnalignedZeroFlagOfVersion2IsNamedAsLost) {
  TestImage image(2);
  image.SetL2(1, DataEntry(image, 1) | 0xa00 | kZeroFlag);
  image.SetCount(kData + 1, 0);
  ExpectL2Mended(image, 1, 0, {"lost 4096+4096"});
}

TEST(L2EntryStepTest, TwoEntriesThatClaimOneOrphanAreBothLeft) {
  TestImage image;
  image.SetL2(1, DataEntry(image, 1) | 0x200);
  image.SetL2(2, DataEntry(image, 1) | 0x400);
  image.SetCount(kData + 2, 0);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), DataEntry(image, 1) | 0x200);
  EXPECT_EQ(L2At(image, planned, 2), DataEntry(image, 1) | 0x400);
  EXPECT_EQ(GuestChangesOf(planned), Texts{});
}

TEST(L2EntryStepTest, EntryOneBitFromTwoOrphansIsLeft) {
  TestImage image;
  image.Truncate(image.OffsetOf(24));
  // 29 is 0b11101: a bit from 13 (0b01101) and from 21 (0b10101).
  image.SetL2(1, image.OffsetOf(29));
  image.SetCount(kData + 1, 0);
  image.SetCount(13, 1);
  Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), image.OffsetOf(13) | kCopiedFlag);

  image.SetCount(21, 1);
  planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), image.OffsetOf(29));
  EXPECT_EQ(GuestChangesOf(planned), Texts{});
}

TEST(L2EntryStepTest, SoundEntryThatNamesTheWrongClusterIsMended) {
  TestImage image;
  // 6 became 14, which is free.
  image.SetL2(1, DataEntry(image, 1 + 8));
  ExpectL2Mended(image, 1, DataEntry(image, 1), {"recovered 4096+4096"});
}

TEST(L2EntryStepTest, EntriesThatShareAClusterAreLeftIfBothMayBeWrong) {
  TestImage image;
  // 6 became 7, which entry 2 names, too: either of the two may be the one hit.
  image.SetL2(1, DataEntry(image, 2));
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1) & kL2OffsetMask, image.OffsetOf(kData + 2));
  EXPECT_EQ(GuestChangesOf(planned), Texts{});
}

TEST(L2EntryStepTest, OfTwoEntriesThatShareAClusterTheOneOutOfLineIsMended) {
  TestImage image;
  image.header.size = 41 * image.cluster_size();
  for (uint64_t i = 8; i < 12; ++i) image.SetCount(i, 1);
  for (const auto& [index, cluster] :
       {std::pair{10, 8}, {11, 9}, {39, 10}, {40, 9}}) {
    image.SetL2(index, image.OffsetOf(cluster) | kCopiedFlag);
  }
  // Entry 40 was 11, in line with entry 39; entry 11 is in line as it is.
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 40), image.OffsetOf(11) | kCopiedFlag);
  EXPECT_EQ(L2At(image, planned, 11), image.OffsetOf(9) | kCopiedFlag);
  EXPECT_EQ(GuestChangesOf(planned), Texts{"recovered 163840+4096"});
  ExpectCleanAndDone(planned);
}

TEST(L2EntryStepTest, EntryThatLostItsOnlyBitIsMended) {
  TestImage image;
  // Cluster 8 is a power of two.
  image.SetL2(2, kCopiedFlag);
  image.SetCount(kData + 2, 0);
  image.SetCount(8, 1);
  ExpectL2Mended(image, 2, image.OffsetOf(8) | kCopiedFlag,
                 {"recovered 8192+4096"});
}

TEST(L2EntryStepTest, Version2WithBackingFileGetsAClusterOfZeros) {
  TestImage image(2);
  image.header.backing_file_offset = HostOffset(512);
  image.header.backing_file_size = 4;
  image.WriteText(512, "base");
  image.SetL2(1, PastEnd(image));
  image.SetCount(kData + 1, 0);
  image.WriteText(image.OffsetOf(kData + 1), std::string(4096, 'x'));
  const Planned planned = PlanFor(image.file());
  const uint64_t entry = L2At(image, planned, 1);
  EXPECT_NE(entry & kL2OffsetMask, 0);
  EXPECT_EQ(Be64At(*planned.view, entry & kL2OffsetMask), 0);
  EXPECT_EQ(GuestChangesOf(planned), Texts{"lost 4096+4096"});
  ExpectCleanAndDone(planned);
}

TEST(L2EntryStepTest, ZeroFlagOfVersion2IsCleared) {
  TestImage image(2);
  image.SetL2(1, DataEntry(image, 1) | kZeroFlag);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), DataEntry(image, 1));
  // No program that knows the format read it.
  EXPECT_EQ(GuestChangesOf(planned), Texts{"recovered 4096+4096"});
  ExpectCleanAndDone(planned);
}

TEST(L2EntryStepTest, OverwrittenTableIsLeftAlone) {
  TestImage image;
  image.WriteText(image.OffsetOf(kL2), Prose(4096));
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL2)),
            Be64At(image.file(), image.OffsetOf(kL2)));
  EXPECT_EQ(GuestChangesOf(planned), Texts{});
}

TEST(L2EntryStepTest, CutOffFileIsMendedThroughout) {
  TestImage image;
  image.header.size = 500 * image.cluster_size();
  for (uint64_t i = 0; i < 500; ++i) {
    image.SetL2(i, image.OffsetOf(kData + i) | kCopiedFlag);
  }
  image.Truncate(image.OffsetOf(kFree));
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 2), DataEntry(image, 2));
  EXPECT_EQ(L2At(image, planned, 3), kZeroFlag);
  EXPECT_EQ(L2At(image, planned, 499), kZeroFlag);
  EXPECT_EQ(GuestChangesOf(planned), Texts{"lost 12288+2035712"});
  EXPECT_EQ(planned.repair.plan.edits().size(), 1);
  ExpectCleanAndDone(planned);
}

TEST(L2EntryStepTest, EntryThatNamesItsOwnTableIsMended) {
  TestImage image;
  // 6 became 4.
  image.SetL2(1, DataEntry(image, 1) ^ image.OffsetOf(2));
  ExpectL2Mended(image, 1, DataEntry(image, 1), {"recovered 4096+4096"});
}

TEST(L2EntryStepTest, DirtyImagesKeepEntriesThatCanBeRead) {
  TestImage image;
  image.header.incompatible_features |= kIncompatibleDirty;
  image.SetL2(1, DataEntry(image, 1 + 8));
  const Planned planned = PlanFor(image.file());
  // Counts lag behind: they are no evidence.
  EXPECT_EQ(L2At(image, planned, 1), DataEntry(image, 1 + 8));
  EXPECT_EQ(GuestChangesOf(planned), Texts{});
}

TEST(L2EntryStepTest, EntriesOfAnExternalDataFileAreLeft) {
  TestImage image;
  image.header.incompatible_features |= kIncompatibleDataFile;
  image.AddExtension(kExtensionDataFile, checker::BytesOf("data"));
  for (uint64_t i = kData; i < kFree; ++i) image.SetCount(i, 0);
  image.SetL2(1, DataEntry(image, 1) | 0x200);
  image.SetL2(2, DataEntry(image, 2) | uint64_t{1} << 57);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), DataEntry(image, 1) | 0x200);
  // A bit that nobody reads can go.
  EXPECT_EQ(L2At(image, planned, 2), DataEntry(image, 2));
  EXPECT_EQ(GuestChangesOf(planned), Texts{});
}

// The bit that says so was lost, the name was not.
TEST(L2EntryStepTest, PlacesThatMayBeInADataFileAreLeft) {
  TestImage image;
  image.AddExtension(kExtensionDataFile, checker::BytesOf("data"));
  image.SetL2(1, PastEnd(image));
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 1), PastEnd(image));
  EXPECT_EQ(EditOf(planned, Problem::kL2EntryPastEnd), nullptr);
}

TEST(L2EntryStepTest, TablesWithABadSpotAreLeft) {
  TestImage image;
  image.SetL2(1, PastEnd(image));
  image.SetCount(kData + 1, 0);
  FaultyFile file(image.file());
  file.FailReadsIn({image.OffsetOf(kL2) + 2048, 512});
  const Planned planned = PlanFor(file);
  EXPECT_EQ(L2At(image, planned, 1), PastEnd(image));
  EXPECT_EQ(EditOf(planned, Problem::kL2EntryPastEnd), nullptr);
}

// Everything belongs to the active disk and to a snapshot.
TEST(L2EntryStepTest, RangesOfAllDisksThatShareATableAreNamed) {
  TestImage image;
  image.SetL1(0, image.OffsetOf(kL2));
  image.WriteBe64(image.OffsetOf(8), image.OffsetOf(kL2));
  image.PutSnapshots(9, {checker::SnapshotOf(image.header.size,
                                             image.OffsetOf(8), "1", "first")});
  for (uint64_t i = kL2; i < kFree; ++i) image.SetCount(i, 2);
  image.SetCount(8, 1);
  image.SetCount(9, 1);
  image.SetL2(0, image.OffsetOf(kData) | 0x400);
  image.SetL2(1, PastEnd(image));
  image.SetL2(2, image.OffsetOf(kData + 2));
  image.SetCount(kData + 1, 0);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(L2At(image, planned, 0), image.OffsetOf(kData));
  EXPECT_EQ(L2At(image, planned, 1), kZeroFlag);
  EXPECT_EQ(GuestChangesOf(planned),
            (Texts{"recovered 0+4096", "lost 4096+4096",
                   "recovered 0+4096first", "lost 4096+4096first"}));
  ExpectCleanAndDone(planned);
}

}  // namespace
}  // namespace qcow2::repair
