// Separating owners of shared clusters: how single cases end, what is copied
// and named, and what is left as it is.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/format/entry_flags.h"
#include "engine/format/l1_entry.h"
#include "engine/format/l2_entry.h"
#include "engine/storage/faulty_file.h"
#include "gtest/gtest.h"
#include "repair/overlap_testing.h"
#include "repair/testing.h"

namespace qcow2::repair {
namespace {

using checker::Problem;

TEST(OverlapStepTest, TheImageOfTheTestsIsCleanAndIsLeftAlone) {
  FullImage image;
  const Planned planned = PlanFor(image.file());
  ExpectClean(planned.repair.before);
  EXPECT_TRUE(planned.repair.plan.empty());
  EXPECT_EQ(ReadableClusters(image.file()), 5u);
}

TEST(OverlapStepTest, GuestDataOnTheActiveL1TableIsCopiedOut) {
  FullImage image;
  image.SetL2(5, image.OffsetOf(kL1));
  const Planned planned = PlanFor(image.file());
  ExpectSeparatedAndClean(image.file(), planned);
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL2) + 40) & kL2OffsetMask,
            image.OffsetOf(kLuksHeader));
  ASSERT_FALSE(planned.repair.plan.edits().empty());
  const Edit& edit = planned.repair.plan.edits().front();
  EXPECT_EQ(edit.problem, Problem::kOverlapGuestData);
  EXPECT_EQ(edit.action, checker::RepairAction::kSeparateOwners);
  EXPECT_EQ(edit.where, "host cluster 3 (offset 0x3000)");
  EXPECT_EQ(edit.before,
            "shared by active L1 and guest data (guest offset 0x5000)");
  EXPECT_EQ(edit.after, "guest data (guest offset 0x5000) is at 0xf000");
  EXPECT_EQ(planned.repair.plan.sources(),
            std::vector<ByteRange>({{image.OffsetOf(kL1), kClusterSize}}));
}

TEST(OverlapStepTest, AnL2TableThatMapsItselfKeepsBothMeanings) {
  FullImage image;
  for (uint64_t i = 0; i < 3; ++i) {
    image.SetL2(i, image.OffsetOf(kL2));
  }
  ExpectSeparatedAndClean(image.file(), PlanFor(image.file()));
}

TEST(OverlapStepTest, AnL1TableThatIsItsOwnL2TableKeepsAllMeanings) {
  FullImage image;
  image.SetL1(0, image.OffsetOf(kL1));
  ExpectSeparated(image.file(), PlanFor(image.file()));
}

TEST(OverlapStepTest, SnapshotsThatShareAnL1TableGetOneEach) {
  FullImage image;
  image.AddSnapshots({kSnapshotL1, kSnapshotL1, kL1});
  const Planned planned = PlanFor(image.file());
  ExpectSeparatedAndClean(image.file(), planned);
  // The L2 table and its data may stay shared between snapshots.
  EXPECT_EQ(planned.repair.plan.sources().size(), 2u);
}

TEST(OverlapStepTest, AnL1TableThatReachesIntoAnotherStructureIsMovedWhole) {
  FullImage image;
  // Its second cluster is the L2 table of the snapshot, all but empty.
  image.WriteBe64(image.OffsetOf(kSnapshotTable) + 8,
                  (uint64_t{520} << 32) | (1 << 16) | 2);
  image.Clear(kSnapshotL2);
  const Planned planned = PlanFor(image.file());
  ExpectSeparatedAndClean(image.file(), planned);
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kSnapshotTable)),
            image.OffsetOf(kSnapshotL1));
}

TEST(OverlapStepTest, BitmapDataNamedTwiceIsCopied) {
  FullImage image;
  image.header.size = uint64_t{3} << 30;
  image.header.l1_size = 512;
  image.WriteBe64(image.OffsetOf(kBitmapDirectory) + 8, uint64_t{192} << 32);
  image.WriteBe64(image.OffsetOf(kBitmapTable) + 80,
                  image.OffsetOf(kBitmapData));
  const Planned planned = PlanFor(image.file());
  EXPECT_FALSE(HasOverlap(planned.repair.after));
  EXPECT_NE(Be64At(*planned.view, image.OffsetOf(kBitmapTable) + 80),
            image.OffsetOf(kBitmapData));
  ExpectReadsTheSame(image.file(), *planned.view);
}

// Two streams in one cluster, of which one goes on in metadata: only that one
// moves.
TEST(OverlapStepTest, CompressedDataMovesWithAllClustersItTouches) {
  FullImage image;
  const uint64_t stays = kCompressedFlag | image.OffsetOf(kData + 2);
  image.SetL2(1, stays);
  image.SetL2(2, kCompressedFlag | uint64_t{5} << 58 |
                     (image.OffsetOf(kData + 2) + 2048 + 777));
  const Planned planned = PlanFor(image.file());
  ExpectSeparatedAndClean(image.file(), planned);
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL2) + 8), stays);
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL2) + 16),
            kCompressedFlag | uint64_t{5} << 58 |
                (image.OffsetOf(kLuksHeader) + 2048 + 777));
}

TEST(OverlapStepTest, AnL2TableNamedTwiceIsCopied) {
  FullImage image;
  image.header.l1_size = 4;
  image.header.size = uint64_t{3} * 512 * kClusterSize;
  image.SetL1(1, image.OffsetOf(kL2));
  image.SetL1(2, image.OffsetOf(kL2));
  // No bitmap would fit a disk of that size.
  image.header.autoclear_features = 0;
  const Planned planned = PlanFor(image.file());
  ExpectSeparated(image.file(), planned);
  std::vector<uint64_t> tables;
  for (uint64_t i = 0; i < 3; ++i) {
    tables.push_back(Be64At(*planned.view, image.OffsetOf(kL1) + i * 8) &
                     kL1OffsetMask);
  }
  EXPECT_EQ(tables[0], image.OffsetOf(kL2));
  EXPECT_NE(tables[1], tables[0]);
  EXPECT_NE(tables[2], tables[0]);
  EXPECT_NE(tables[2], tables[1]);
  const std::vector<Edit>& edits = planned.repair.plan.edits();
  const auto found =
      std::find_if(edits.begin(), edits.end(), [](const Edit& candidate) {
        return candidate.problem == Problem::kL2TableReferencedTwice;
      });
  ASSERT_NE(found, edits.end());
  const Edit& edit = *found;
  EXPECT_EQ(edit.where, "active L1 table at 0x3000, entry 1");
  EXPECT_EQ(edit.before, "names the L2 table at 0x4000, as another entry does");
  EXPECT_EQ(edit.after, "names a copy of it at 0xf000");
}

// The snapshot took the same damage: the copies are shared as the table was.
TEST(OverlapStepTest, AnL2TableNamedTwiceIsCopiedOnceForAllSnapshots) {
  FullImage image;
  image.header.l1_size = 2;
  image.header.size = uint64_t{2} * 512 * kClusterSize;
  image.header.autoclear_features = 0;
  image.AddSnapshots({kSnapshotL1});
  image.WriteBe64(image.OffsetOf(kSnapshotTable) + 8,
                  (uint64_t{2} << 32) | (1 << 16) | 2);
  for (const uint64_t l1 : {kL1, kSnapshotL1}) {
    image.WriteBe64(image.OffsetOf(l1), image.OffsetOf(kL2));
    image.WriteBe64(image.OffsetOf(l1) + 8, image.OffsetOf(kL2));
  }
  const Planned planned = PlanFor(image.file());
  ExpectSeparated(image.file(), planned);
  EXPECT_EQ(Be64At(*planned.view, image.OffsetOf(kL1) + 8) & kL1OffsetMask,
            Be64At(*planned.view, image.OffsetOf(kSnapshotL1) + 8));
}

TEST(OverlapStepTest, ManyEntriesThatNameOneL2TableAllGetTheirOwn) {
  FullImage image;
  image.header.autoclear_features = 0;
  image.header.l1_size = 400;
  for (uint64_t i = 0; i < 400; ++i) {
    image.SetL1(i, image.OffsetOf(kL2));
  }
  ExpectSeparated(image.file(), PlanFor(image.file()));
}

TEST(OverlapStepTest, TheLuksHeaderMovesAway) {
  FullImage image(/*luks=*/true);
  image.SetL2(5, image.OffsetOf(kLuksHeader));
  const Planned planned = PlanFor(image.file());
  ExpectSeparated(image.file(), planned);
  const uint64_t place = Be64At(*planned.view, kExtensionsBegin + 8 + 24 + 8);
  EXPECT_NE(place, image.OffsetOf(kLuksHeader));
  EXPECT_TRUE(BytesAt(*planned.view, place, kClusterSize) ==
              BytesAt(image.file(), image.OffsetOf(kLuksHeader), kClusterSize));
}

TEST(OverlapStepTest, ExtensionsAreFoundBehindAHeaderOfNoLength) {
  FullImage image;
  image.header.header_length = 0;
  image.WriteBe64(kExtensionsBegin + 8 + 16, image.OffsetOf(kL1));
  const StepRun run(image.file());
  EXPECT_TRUE(HasOverlap(run.before));
  EXPECT_FALSE(HasOverlap(run.after)) << Describe(run.after);
  ExpectReadsTheSame(image.file(), *run.view);
}

// Neither the header nor the guest's cluster can move; what hangs on the
// header stays with it, for writing there would change what the guest reads.
TEST(OverlapStepTest, WithLuksAGuestClusterOnTheHeaderIsLeft) {
  FullImage image(/*luks=*/true);
  image.SetL2(5, kCompressedFlag | uint64_t{1} << 58 | 512);
  image.SetL2(6, image.OffsetOf(kL1));
  const StepRun run(image.file());
  EXPECT_TRUE(HasOverlap(run.after));
  EXPECT_EQ(run.rounds, 0);
  EXPECT_TRUE(run.view->DirtyRanges().empty());
}

TEST(OverlapStepTest, WithoutRoomTheFindingsStay) {
  FullImage image;
  image.Truncate(image.OffsetOf(kLuksHeader));
  image.SetL2(5, image.OffsetOf(kL1));
  image.WriteBe64(image.OffsetOf(kSnapshotL2) + 8, image.OffsetOf(kL2));
  RepairOptions options;
  options.can_grow = false;
  const Planned planned = PlanFor(image.file(), options);
  EXPECT_TRUE(HasOverlap(planned.repair.after));
  EXPECT_EQ(planned.repair.plan.notes(),
            std::vector<std::string>({"clusters with more than one owner stay "
                                      "as they are: there is no room for the "
                                      "copies"}));
  EXPECT_TRUE(planned.repair.plan.sources().empty());
  ExpectSeparated(image.file(), PlanFor(image.file()));
}

TEST(OverlapStepTest, OverlapsWithRefcountStructuresAloneAreNotTouched) {
  FullImage image;
  image.SetL2(5, image.OffsetOf(kRefcountBlock));
  const StepRun run(image.file());
  EXPECT_TRUE(HasOverlap(run.after));
  EXPECT_EQ(run.rounds, 0);
  EXPECT_TRUE(run.view->DirtyRanges().empty());
}

// Neither can be copied, and who shares with them cannot either.
TEST(OverlapStepTest, WhatCannotBeReadIsLeft) {
  FullImage image;
  // Far enough from the tables that no one reads it along with them.
  constexpr uint64_t kBad = kClusters - 1;
  image.WriteBe64(image.OffsetOf(kBitmapTable), image.OffsetOf(kBad));
  image.SetL2(5, image.OffsetOf(kBad));
  image.SetL2(6, image.OffsetOf(kBitmapTable));
  FaultyFile file(image.file());
  file.FailReadsIn({image.OffsetOf(kBad) + 512, 512});
  const StepRun run(file);
  EXPECT_EQ(run.rounds, 1);
  EXPECT_TRUE(HasOverlap(run.after));
  EXPECT_EQ(Be64At(*run.view, image.OffsetOf(kL2) + 40), image.OffsetOf(kBad));
  EXPECT_NE(Be64At(*run.view, image.OffsetOf(kL2) + 48),
            image.OffsetOf(kBitmapTable));
}

TEST(OverlapStepTest, NothingIsDoneWhileMetadataCannotBeRead) {
  FullImage image;
  image.SetL2(5, image.OffsetOf(kBitmapData));
  FaultyFile file(image.file());
  file.FailReadsIn({image.OffsetOf(kSnapshotL2) + 512, 512});
  const StepRun run(file);
  EXPECT_TRUE(HasOverlap(run.before));
  EXPECT_EQ(run.rounds, 0);
  EXPECT_TRUE(run.view->DirtyRanges().empty());
}

// Snapshots whose L1 tables lie across each other: some of it can be taken
// apart, more than that is refused, with a word in the plan.
TEST(OverlapStepTest, NoMoreIsMovedThanMemoryShouldHold) {
  for (const uint64_t snapshots : {2, 40}) {
    FullImage image;
    std::vector<uint64_t> clusters;
    for (uint64_t i = 0; i < snapshots; ++i) clusters.push_back(kClusters);
    image.AddSnapshots(clusters);
    // Each 32 MiB long.
    for (uint64_t i = 0; i < snapshots; ++i) {
      image.WriteBe64(image.OffsetOf(kSnapshotTable) + i * 64 + 8,
                      (uint64_t{1} << 22 << 32) | (1 << 16) | (i < 9 ? 2 : 3));
    }
    image.Truncate(image.OffsetOf(kClusters) + (uint64_t{32} << 20));
    const StepRun run(image.file());
    EXPECT_EQ(run.before.image.snapshots, snapshots);
    EXPECT_TRUE(HasOverlap(run.before));
    const bool few = snapshots == 2;
    EXPECT_EQ(run.rounds, few ? 1 : 0);
    EXPECT_EQ(HasOverlap(run.after), !few);
    EXPECT_EQ(run.plan.notes().empty(), few);
  }
}

}  // namespace
}  // namespace qcow2::repair
