// Planning the repair of refcount structures, counts and COPIED flags: each
// kind of damage to a small image, and what the view is afterwards.
#include <cstdint>
#include <functional>
#include <string>

#include "checker/test_image.h"
#include "engine/format/entry_flags.h"
#include "engine/format/header.h"
#include "gtest/gtest.h"
#include "repair/plan.h"
#include "repair/testing.h"

namespace qcow2::repair {
namespace {

using checker::CheckStatus;
using checker::Problem;
using checker::SnapshotOf;
using checker::TestImage;

uint64_t CountOf(const TestImage& image, const File& file, uint64_t cluster) {
  const uint64_t block = Be64At(file, image.OffsetOf(kRefcountTable));
  return Be64At(file, block + cluster / 4 * 8) >> (48 - cluster % 4 * 16) &
         0xffff;
}

struct Damage {
  std::string name;
  Problem problem;
  std::function<void(TestImage&)> apply;
};

class MendedTest : public testing::TestWithParam<Damage> {};

// The damage is found, the view checks clean, and there is nothing left that
// another plan would do.
TEST_P(MendedTest, IsCleanAfterwards) {
  TestImage image;
  GetParam().apply(image);
  const Planned planned = PlanFor(image.file());
  EXPECT_TRUE(planned.repair.before.Found(GetParam().problem))
      << Describe(planned.repair.before);
  EXPECT_TRUE(planned.repair.after.warnings.empty());
  EXPECT_FALSE(planned.repair.plan.empty());
  // The data the guest reads is where it was.
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL2)) & 0xfffffffffffe00,
            image.OffsetOf(kData));
  ExpectCleanAndDone(planned);
}

INSTANTIATE_TEST_SUITE_P(
    Refcounts, MendedTest,
    testing::Values(
        Damage{"TooLow", Problem::kRefcountTooLow,
               [](TestImage& i) { i.SetCount(kData, 0); }},
        Damage{"TooHigh", Problem::kRefcountTooHigh,
               [](TestImage& i) { i.SetCount(kData + 1, 7); }},
        Damage{"Leaked", Problem::kClusterLeaked,
               [](TestImage& i) { i.SetCount(kFree + 2, 1); }},
        Damage{"PastEnd", Problem::kRefcountPastEnd,
               [](TestImage& i) { i.SetCount(900, 1); }},
        Damage{"AllZero", Problem::kRefcountTooLow,
               [](TestImage& i) { i.Fill(kRefcountBlock, 0); }},
        Damage{
            "BlockMissing", Problem::kRefcountBlockMissing,
            [](TestImage& i) { i.WriteBe64(i.OffsetOf(kRefcountTable), 0); }},
        Damage{"BlockUnaligned", Problem::kRefcountBlockUnaligned,
               [](TestImage& i) {
                 i.WriteBe64(i.OffsetOf(kRefcountTable),
                             i.OffsetOf(kRefcountBlock) + 512);
               }},
        Damage{"BlockPastEnd", Problem::kRefcountBlockPastEnd,
               [](TestImage& i) {
                 i.WriteBe64(i.OffsetOf(kRefcountTable), i.OffsetOf(5000));
               }},
        Damage{"EntryPastEndForNothing", Problem::kRefcountBlockPastEnd,
               [](TestImage& i) {
                 i.WriteBe64(i.OffsetOf(kRefcountTable) + 80, i.OffsetOf(5000));
               }},
        Damage{"EntryReserved", Problem::kRefcountTableEntryReserved,
               [](TestImage& i) {
                 i.WriteBe64(i.OffsetOf(kRefcountTable),
                             i.OffsetOf(kRefcountBlock) | 4);
               }},
        Damage{"BlockDuplicate", Problem::kRefcountBlockDuplicate,
               [](TestImage& i) {
                 i.WriteBe64(i.OffsetOf(kRefcountTable) + 8,
                             i.OffsetOf(kRefcountBlock));
               }},
        Damage{"BlockIsData", Problem::kRefcountBlockShared,
               [](TestImage& i) {
                 i.WriteBe64(i.OffsetOf(kRefcountTable), i.OffsetOf(kData));
               }},
        Damage{"BlockIsL2Table", Problem::kRefcountBlockShared,
               [](TestImage& i) {
                 i.WriteBe64(i.OffsetOf(kRefcountTable), i.OffsetOf(kL2));
               }},
        Damage{"TableUnaligned", Problem::kRefcountTableUnaligned,
               [](TestImage& i) {
                 i.header.refcount_table_offset =
                     HostOffset(i.OffsetOf(kRefcountTable) + 8);
               }},
        Damage{"TablePastEnd", Problem::kRefcountTablePastEnd,
               [](TestImage& i) {
                 i.header.refcount_table_offset = HostOffset(i.OffsetOf(4000));
               }},
        Damage{"TableIsL1", Problem::kOverlapMetadata,
               [](TestImage& i) {
                 i.header.refcount_table_offset = HostOffset(i.OffsetOf(kL1));
               }},
        Damage{"TableMissing", Problem::kRefcountTableMissing,
               [](TestImage& i) { i.header.refcount_table_clusters = 0; }},
        Damage{"Order", Problem::kRefcountOrder,
               [](TestImage& i) { i.header.refcount_order = 20; }},
        Damage{"CopiedClear", Problem::kL2CopiedMissing,
               [](TestImage& i) { i.SetL2(0, i.OffsetOf(kData)); }},
        Damage{"L1CopiedClear", Problem::kL1CopiedMissing,
               [](TestImage& i) { i.SetL1(0, i.OffsetOf(kL2)); }},
        Damage{"SharedWithCopied", Problem::kGuestClusterShared,
               [](TestImage& i) {
                 i.SetL2(1, i.OffsetOf(kData) | uint64_t{1} << 63);
               }},
        Damage{"DirtyBit", Problem::kDirtyBit,
               [](TestImage& i) { i.header.incompatible_features |= 1; }},
        Damage{"CorruptBit", Problem::kCorruptBit,
               [](TestImage& i) {
                 i.header.incompatible_features |= 2;
                 i.SetCount(kData, 3);
               }}),
    [](const testing::TestParamInfo<Damage>& info) { return info.param.name; });

TEST(RefcountStepsTest, SoundImageNeedsNoPlan) {
  TestImage image;
  const Planned planned = PlanFor(image.file());
  EXPECT_TRUE(planned.repair.plan.empty());
  EXPECT_TRUE(planned.view->DirtyRanges().empty());
  ExpectClean(planned.repair.after);
}

TEST(RefcountStepsTest, CountsAreWrittenInPlace) {
  TestImage image;
  image.SetCount(kData, 0);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kRefcountTable)),
            image.OffsetOf(kRefcountBlock));
  EXPECT_EQ(CountOf(image, *planned.view, kData), 1u);
  ASSERT_EQ(planned.repair.plan.edits().size(), 1u);
  const Edit& edit = planned.repair.plan.edits().front();
  EXPECT_EQ(edit.where, "host cluster 5 (offset 0x5000)");
  EXPECT_EQ(edit.before, "refcount 0");
  EXPECT_EQ(edit.after, "refcount 1");
}

// Leaked clusters, one of them an L2 table that names the others.
TEST(RefcountStepsTest, WhatMayBeLeftOfGuestDataIsFreedOnlyWhenAsked) {
  TestImage image;
  for (uint64_t i = 1; i < 8; ++i) {
    image.WriteBe64(image.OffsetOf(kFree) + 8 * (i - 1),
                    image.OffsetOf(kFree + i) | kCopiedFlag);
    image.Fill(kFree + i, 'x');
  }
  for (uint64_t i = 0; i < 8; ++i) image.SetCount(kFree + i, 1);
  image.header.incompatible_features |= kIncompatibleCorrupt;
  const Planned left = PlanFor(image.file());
  EXPECT_EQ(CountOf(image, *left.view, kFree), 1u);
  EXPECT_EQ(CountOf(image, *left.view, kFree + 7), 1u);
  EXPECT_TRUE(HeaderOf(*left.view).has_incompatible(kIncompatibleCorrupt));
  RepairOptions options;
  options.free_suspects = true;
  const Planned freed = PlanFor(image.file(), options);
  EXPECT_EQ(CountOf(image, *freed.view, kFree), 0u);
  EXPECT_EQ(CountOf(image, *freed.view, kFree + 7), 0u);
  EXPECT_FALSE(HeaderOf(*freed.view).has_incompatible(kIncompatibleCorrupt));
}

TEST(RefcountStepsTest, LeaksOnlyChangesNothingElse) {
  TestImage image;
  image.SetCount(kData, 0);
  image.SetCount(kData + 1, 7);
  image.SetCount(kFree + 2, 1);
  const Planned planned = PlanFor(image.file(), WithMode(Mode::kLeaks));
  EXPECT_EQ(CountOf(image, *planned.view, kData), 0u);
  EXPECT_EQ(CountOf(image, *planned.view, kData + 1), 1u);
  EXPECT_EQ(CountOf(image, *planned.view, kFree + 2), 0u);
  EXPECT_EQ(planned.repair.after.status, CheckStatus::kCorrupt);
}

// A count that is too high keeps COPIED clear; both are put right together. A
// flag that is missing for no such reason is not a leak's business.
TEST(RefcountStepsTest, LeaksOnlySetsCopiedOfWhatItFrees) {
  TestImage image;
  image.SetCount(kL2, 2);
  image.SetL1(0, image.OffsetOf(kL2));
  image.SetCount(kData, 2);
  image.SetL2(0, image.OffsetOf(kData));
  const Planned planned = PlanFor(image.file(), WithMode(Mode::kLeaks));
  EXPECT_EQ(CountOf(image, *planned.view, kL2), 1u);
  EXPECT_EQ(CountOf(image, *planned.view, kData), 1u);
  ExpectClean(planned.repair.after);

  image.SetL2(1, image.OffsetOf(kData + 1));
  const Planned other = PlanFor(image.file(), WithMode(Mode::kLeaks));
  EXPECT_EQ(other.repair.after.OccurrencesOf(Problem::kL2CopiedMissing), 1u);
  EXPECT_EQ(other.repair.after.counts.corruptions, 1u);
  EXPECT_EQ(other.repair.after.counts.leaks, 0u);
}

// A leaked cluster that is shaped like an L2 table is kept, and so is the
// leaked cluster that it names.
TEST(RefcountStepsTest, SuspectOrphansAreKept) {
  TestImage image;
  image.WriteBe64(image.OffsetOf(kFree), image.OffsetOf(kFree + 1));
  image.SetCount(kFree, 1);
  image.SetCount(kFree + 1, 1);
  image.SetCount(kFree + 3, 1);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(CountOf(image, *planned.view, kFree), 1u);
  EXPECT_EQ(CountOf(image, *planned.view, kFree + 1), 1u);
  EXPECT_EQ(CountOf(image, *planned.view, kFree + 3), 0u);

  RepairOptions options;
  options.free_suspects = true;
  const Planned freed = PlanFor(image.file(), options);
  EXPECT_EQ(CountOf(image, *freed.view, kFree), 0u);
  EXPECT_EQ(CountOf(image, *freed.view, kFree + 1), 0u);
}

// A snapshot that cannot be read, and a cluster that it may share.
TestImage ImageWithLostSnapshot() {
  TestImage image;
  image.PutSnapshots(kFree, {SnapshotOf(image.header.size, 0x100, "1", "s")});
  image.SetCount(kFree, 1);
  image.SetCount(kData, 2);
  image.SetL2(0, image.OffsetOf(kData));
  return image;
}

// As long as that is so the guest must not write there in place.
TEST(RefcountStepsTest, WhatDamageMayShareKeepsItsCount) {
  TestImage image = ImageWithLostSnapshot();
  for (const Mode mode : {Mode::kLeaks, Mode::kAll, Mode::kSalvage}) {
    const Planned planned = PlanFor(image.file(), WithMode(mode));
    EXPECT_EQ(CountOf(image, *planned.view, kData), 2u);
    EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL2)),
              image.OffsetOf(kData));
    EXPECT_TRUE(planned.repair.after.Found(Problem::kRefcountTooHigh));
    EXPECT_TRUE(planned.repair.plan.keeps_suspect_counts());
  }
}

TEST(RefcountStepsTest, WhatDamageMayShareIsLoweredWhenAsked) {
  TestImage image = ImageWithLostSnapshot();
  RepairOptions freeing;
  freeing.free_suspects = true;
  RepairOptions dropping = WithMode(Mode::kSalvage);
  dropping.drop_snapshots = {"s"};
  for (const RepairOptions& options : {freeing, dropping}) {
    const Planned planned = PlanFor(image.file(), options);
    EXPECT_EQ(CountOf(image, *planned.view, kData), 1u);
    EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL2)),
              image.OffsetOf(kData) | kCopiedFlag);
  }
}

TEST(RefcountStepsTest, NewBlocksGoToFreeClusters) {
  TestImage image;
  image.WriteBe64(image.OffsetOf(kRefcountTable) + 8,
                  image.OffsetOf(kRefcountBlock));
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(*planned.view->Size(), *image.file().Size());
  EXPECT_GE(Be64At(*planned.view, image.OffsetOf(kRefcountTable)),
            image.OffsetOf(kFree));
}

TEST(RefcountStepsTest, WithoutRoomTheDamageStays) {
  TestImage image;
  // Nothing is known to be free without a block, and a device cannot grow.
  image.WriteBe64(image.OffsetOf(kRefcountTable), 0);
  RepairOptions options;
  options.can_grow = false;
  const Planned planned = PlanFor(image.file(), options);
  EXPECT_TRUE(planned.repair.plan.empty());
  EXPECT_TRUE(planned.view->DirtyRanges().empty());
  ASSERT_EQ(planned.repair.plan.notes().size(), 1u);
  EXPECT_NE(planned.repair.plan.notes().front().find("cannot become longer"),
            std::string::npos);
}

}  // namespace
}  // namespace qcow2::repair
