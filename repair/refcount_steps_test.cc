// Planning the repair of refcount structures, counts and COPIED flags: each
// kind of damage to a small image, and what the view is afterwards.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checker/test_image.h"
#include "engine/format/byte_order.h"
#include "engine/storage/overlay_file.h"
#include "gtest/gtest.h"
#include "repair/planner.h"

namespace qcow2::repair {
namespace {

using checker::CheckReport;
using checker::CheckStatus;
using checker::Problem;
using checker::TestImage;

// Where TestImage has its structures, in clusters.
constexpr uint64_t kRefcountTable = 1;
constexpr uint64_t kRefcountBlock = 2;
constexpr uint64_t kL1 = 3;
constexpr uint64_t kL2 = 4;
constexpr uint64_t kData = 5;
constexpr uint64_t kFree = 8;

struct Planned {
  PlannedRepair repair;
  std::unique_ptr<OverlayFile> view;
};

Planned PlanFor(const File& image, Mode mode = Mode::kAll,
                bool can_grow = true) {
  Planned planned;
  planned.view = *OverlayFile::Create(image);
  RepairOptions options;
  options.mode = mode;
  options.can_grow = can_grow;
  absl::StatusOr<PlannedRepair> repair =
      PlanRepair(image, "image", *planned.view, options);
  EXPECT_TRUE(repair.ok()) << repair.status();
  if (repair.ok()) planned.repair = *std::move(repair);
  return planned;
}

std::string Problems(const CheckReport& report) {
  std::string text;
  for (const checker::Finding& finding : report.problems) {
    text += DescribeWhere(finding) + ": " + DescribeFinding(finding) + "\n";
  }
  return text;
}

uint64_t Be64At(const File& file, uint64_t offset) {
  std::vector<std::byte> bytes(8);
  EXPECT_TRUE(ReadZeroFilled(file, offset, bytes).ok());
  return LoadBe64(bytes.data());
}

uint64_t CountOf(const TestImage& image, const File& file, uint64_t cluster) {
  const uint64_t block = Be64At(file, image.OffsetOf(kRefcountTable));
  return Be64At(file, block + cluster / 4 * 8) >> (48 - cluster % 4 * 16) &
         0xffff;
}

void SetCount(TestImage& image, uint64_t cluster, uint16_t count) {
  const std::byte bytes[] = {std::byte(count >> 8), std::byte(count & 0xff)};
  image.Write(image.OffsetOf(kRefcountBlock) + cluster * 2, bytes);
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
  bool found = false;
  for (const std::vector<checker::Finding>* list :
       {&planned.repair.before.problems, &planned.repair.before.warnings}) {
    for (const checker::Finding& finding : *list) {
      found |= finding.problem == GetParam().problem;
    }
  }
  EXPECT_TRUE(found) << Problems(planned.repair.before);
  EXPECT_EQ(planned.repair.after.status, CheckStatus::kClean)
      << Problems(planned.repair.after);
  EXPECT_TRUE(planned.repair.after.warnings.empty());
  EXPECT_FALSE(planned.repair.plan.empty());
  EXPECT_TRUE(planned.repair.stopped.empty());
  // The data the guest reads is where it was.
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL2)) & 0xfffffffffffe00,
            image.OffsetOf(kData));

  const Planned again = PlanFor(*planned.view);
  EXPECT_TRUE(again.repair.plan.empty());
  EXPECT_TRUE(again.view->DirtyRanges().empty());
}

INSTANTIATE_TEST_SUITE_P(
    Refcounts, MendedTest,
    testing::Values(
        Damage{"TooLow", Problem::kRefcountTooLow,
               [](TestImage& i) { SetCount(i, kData, 0); }},
        Damage{"TooHigh", Problem::kRefcountTooHigh,
               [](TestImage& i) { SetCount(i, kData + 1, 7); }},
        Damage{"Leaked", Problem::kClusterLeaked,
               [](TestImage& i) { SetCount(i, kFree + 2, 1); }},
        Damage{"PastEnd", Problem::kRefcountPastEnd,
               [](TestImage& i) { SetCount(i, 900, 1); }},
        Damage{"AllZero", Problem::kRefcountTooLow,
               [](TestImage& i) {
                 i.Write(i.OffsetOf(kRefcountBlock),
                         std::vector<std::byte>(i.cluster_size()));
               }},
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
               [](TestImage& i) {
                 i.WriteBe64(i.OffsetOf(kL2), i.OffsetOf(kData));
               }},
        Damage{"L1CopiedClear", Problem::kL1CopiedMissing,
               [](TestImage& i) {
                 i.WriteBe64(i.OffsetOf(kL1), i.OffsetOf(kL2));
               }},
        Damage{"SharedWithCopied", Problem::kGuestClusterShared,
               [](TestImage& i) {
                 i.WriteBe64(i.OffsetOf(kL2) + 8,
                             i.OffsetOf(kData) | uint64_t{1} << 63);
               }},
        Damage{"DirtyBit", Problem::kDirtyBit,
               [](TestImage& i) { i.header.incompatible_features |= 1; }},
        Damage{"CorruptBit", Problem::kCorruptBit,
               [](TestImage& i) {
                 i.header.incompatible_features |= 2;
                 SetCount(i, kData, 3);
               }}),
    [](const testing::TestParamInfo<Damage>& info) { return info.param.name; });

TEST(RefcountStepsTest, SoundImageNeedsNoPlan) {
  TestImage image;
  const Planned planned = PlanFor(image.file());
  EXPECT_TRUE(planned.repair.plan.empty());
  EXPECT_TRUE(planned.view->DirtyRanges().empty());
  EXPECT_EQ(planned.repair.after.status, CheckStatus::kClean);
}

TEST(RefcountStepsTest, CountsAreWrittenInPlace) {
  TestImage image;
  SetCount(image, kData, 0);
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

TEST(RefcountStepsTest, LeaksOnlyChangesNothingElse) {
  TestImage image;
  SetCount(image, kData, 0);
  SetCount(image, kData + 1, 7);
  SetCount(image, kFree + 2, 1);
  const Planned planned = PlanFor(image.file(), Mode::kLeaks);
  EXPECT_EQ(CountOf(image, *planned.view, kData), 0u);
  EXPECT_EQ(CountOf(image, *planned.view, kData + 1), 1u);
  EXPECT_EQ(CountOf(image, *planned.view, kFree + 2), 0u);
  EXPECT_EQ(planned.repair.after.status, CheckStatus::kCorrupt);
}

// A leaked cluster that is shaped like an L2 table is kept, and so is the
// leaked cluster that it names.
TEST(RefcountStepsTest, SuspectOrphansAreKept) {
  TestImage image;
  image.WriteBe64(image.OffsetOf(kFree), image.OffsetOf(kFree + 1));
  SetCount(image, kFree, 1);
  SetCount(image, kFree + 1, 1);
  SetCount(image, kFree + 3, 1);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(CountOf(image, *planned.view, kFree), 1u);
  EXPECT_EQ(CountOf(image, *planned.view, kFree + 1), 1u);
  EXPECT_EQ(CountOf(image, *planned.view, kFree + 3), 0u);

  const std::unique_ptr<OverlayFile> view = *OverlayFile::Create(image.file());
  RepairOptions options;
  options.free_suspects = true;
  ASSERT_TRUE(PlanRepair(image.file(), "image", *view, options).ok());
  EXPECT_EQ(CountOf(image, *view, kFree), 0u);
  EXPECT_EQ(CountOf(image, *view, kFree + 1), 0u);
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
  const Planned planned = PlanFor(image.file(), Mode::kAll, /*can_grow=*/false);
  EXPECT_TRUE(planned.repair.plan.empty());
  EXPECT_TRUE(planned.view->DirtyRanges().empty());
  ASSERT_EQ(planned.repair.plan.notes().size(), 1u);
  EXPECT_NE(planned.repair.plan.notes().front().find("cannot become longer"),
            std::string::npos);
}

}  // namespace
}  // namespace qcow2::repair
