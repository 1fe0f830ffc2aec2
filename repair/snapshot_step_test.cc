// Planning the repair of the snapshot table: each kind of damage to a small
// image, and what the snapshots are afterwards.
#include <cstdint>
#include <utility>
#include <vector>

#include "checker/test_image.h"
#include "engine/format/byte_order.h"
#include "engine/format/entry_flags.h"
#include "engine/format/header.h"
#include "engine/format/snapshot_table.h"
#include "gtest/gtest.h"
#include "repair/testing.h"

namespace qcow2::repair {
namespace {

using checker::CheckStatus;
using checker::Problem;
using checker::SnapshotOf;
using checker::TestImage;

constexpr uint64_t kTable = 8;
constexpr uint64_t kSnapshotL1 = 9;
constexpr uint64_t kUnused = 12;
constexpr uint64_t kPastEnd = 0x100000;

// An image with snapshots of an empty disk, `entries` in the table.
void PutSnapshots(TestImage& image, const std::vector<SnapshotEntry>& entries) {
  image.PutSnapshots(kTable, entries);
  image.SetCount(kTable, 1);
  for (uint64_t i = 0; i < entries.size(); ++i) {
    image.SetCount(kSnapshotL1 + i, 1);
  }
}

SnapshotEntry First(const TestImage& image) {
  return SnapshotOf(image.header.size, image.OffsetOf(kSnapshotL1), "1",
                    "before");
}

SnapshotEntry Second(const TestImage& image) {
  return SnapshotOf(image.header.size, image.OffsetOf(kSnapshotL1 + 1), "2",
                    "after");
}

std::vector<SnapshotEntry> SnapshotsOf(const File& file) {
  const Header header = HeaderOf(file);
  std::vector<SnapshotEntry> entries;
  for (LocatedSnapshot& snapshot :
       DecodeSnapshotTable(BytesAt(file, header.snapshots_offset.value(), 8192),
                           header.nb_snapshots)) {
    entries.push_back(std::move(snapshot.entry));
  }
  return entries;
}

TEST(SnapshotStepTest, MissingExtraDataIsAdded) {
  TestImage image;
  SnapshotEntry entry = First(image);
  entry.vm_state_size_32 = 77;
  entry.extra_data.clear();
  PutSnapshots(image, {entry, Second(image)});
  const Planned planned = ExpectMended(image, Problem::kSnapshotExtraShort);
  const std::vector<SnapshotEntry> mended = SnapshotsOf(*planned.view);
  ASSERT_EQ(mended.size(), 2);
  EXPECT_EQ(mended[0].vm_state_size(), 77);
  EXPECT_EQ(mended[0].disk_size(), image.header.size);
  EXPECT_EQ(mended[0].name, "before");
  EXPECT_EQ(mended[1], Second(image));
  EXPECT_EQ(HeaderOf(*planned.view).snapshots_offset.value(),
            image.OffsetOf(kTable));
}

TEST(SnapshotStepTest, ExtraDataBeyondTheLimitIsCutOff) {
  TestImage image;
  SnapshotEntry entry = First(image);
  entry.extra_data.resize(1500, std::byte{0x55});
  PutSnapshots(image, {entry, Second(image)});
  const Planned planned = ExpectMended(image, Problem::kSnapshotExtraLong);
  entry.extra_data.resize(1024);
  EXPECT_EQ(SnapshotsOf(*planned.view),
            (std::vector<SnapshotEntry>{entry, Second(image)}));
}

TEST(SnapshotStepTest, LengthOfExtraDataThatCannotBeTrueIsFound) {
  TestImage image;
  PutSnapshots(image, {First(image), Second(image)});
  image.Write(image.OffsetOf(kTable) + 36,
              std::vector<std::byte>{{}, std::byte{1}, {}, std::byte{16}});
  const Planned planned = PlanDeeply(image.file());
  EXPECT_NE(planned.repair.before.status, CheckStatus::kClean);
  ExpectClean(planned.repair.after);
  EXPECT_EQ(SnapshotsOf(*planned.view),
            (std::vector<SnapshotEntry>{First(image), Second(image)}));
}

TEST(SnapshotStepTest, LengthOfANameThatCannotBeTrueIsFound) {
  TestImage image;
  PutSnapshots(image, {First(image), Second(image)});
  // The first entry is 63 bytes long, so that the second begins at 64.
  image.Write(image.OffsetOf(kTable) + 64 + 14,
              std::vector<std::byte>(2, std::byte{0xff}));
  const Planned planned = ExpectMended(image, Problem::kSnapshotTablePastEnd);
  EXPECT_EQ(SnapshotsOf(*planned.view),
            (std::vector<SnapshotEntry>{First(image), Second(image)}));
}

TEST(SnapshotStepTest, SecondOwnerOfAnIdGetsANewOne) {
  TestImage image;
  SnapshotEntry second = Second(image);
  second.id = "1";
  PutSnapshots(image, {First(image), second});
  const Planned planned = ExpectMended(image, Problem::kSnapshotDuplicateId);
  EXPECT_EQ(SnapshotsOf(*planned.view),
            (std::vector<SnapshotEntry>{First(image), Second(image)}));
}

TEST(SnapshotStepTest, DiskSizeIsWhatTheL1TableMaps) {
  TestImage image;
  SnapshotEntry entry = First(image);
  StoreBe64(&entry.extra_data[8], uint64_t{1} << 62);
  PutSnapshots(image, {entry});
  const Planned planned = ExpectMended(image, Problem::kSnapshotDiskSize);
  EXPECT_EQ(SnapshotsOf(*planned.view).front(), First(image));
}

TEST(SnapshotStepTest, L1TableIsMadeAsLongAsItGoesOn) {
  TestImage image;
  image.header.l1_size = 2;
  SnapshotEntry entry = First(image);
  StoreBe64(&entry.extra_data[8], uint64_t{2} * 512 * image.cluster_size());
  PutSnapshots(image, {entry});
  const Planned planned = ExpectMended(image, Problem::kSnapshotL1TooSmall);
  entry.l1_size = 2;
  EXPECT_EQ(SnapshotsOf(*planned.view).front(), entry);
}

TEST(SnapshotStepTest, L1TableThatEndsIsCopiedInSalvageOnly) {
  TestImage image;
  SnapshotEntry entry = First(image);
  StoreBe64(&entry.extra_data[8], uint64_t{2} * 512 * image.cluster_size());
  PutSnapshots(image, {entry});
  image.WriteBe64(image.OffsetOf(kSnapshotL1) + 8, 0x1234567);
  ExpectLeft(image, Problem::kSnapshotL1TooSmall);
  const Planned planned = ExpectMended(image, Problem::kSnapshotL1TooSmall,
                                       WithMode(Mode::kSalvage));
  const SnapshotEntry mended = SnapshotsOf(*planned.view).front();
  EXPECT_EQ(mended.l1_size, 2);
  EXPECT_NE(mended.l1_table_offset, entry.l1_table_offset);
  ASSERT_EQ(planned.repair.plan.guest_changes().size(), 1);
  const GuestChange& change = planned.repair.plan.guest_changes().front();
  EXPECT_EQ(change.kind, GuestChange::Kind::kLost);
  EXPECT_EQ(change.range.snapshot, "before");
  EXPECT_EQ(change.range.length_bytes, 512 * image.cluster_size());
}

TEST(SnapshotStepTest, L1TableIsFoundByItsOrphanedCluster) {
  TestImage image;
  PutSnapshots(image, {First(image)});
  image.WriteBe64(image.OffsetOf(kSnapshotL1), image.OffsetOf(kL2));
  image.SetCount(kL2, 2);
  for (uint64_t cluster = 5; cluster < 8; ++cluster) {
    image.SetCount(cluster, 2);
    image.WriteBe64(image.OffsetOf(kL2) + 8 * (cluster - 5),
                    image.OffsetOf(cluster));
  }
  image.SetL1(0, image.OffsetOf(kL2));
  ASSERT_EQ(PlanDeeply(image.file()).repair.before.status, CheckStatus::kClean);
  // Unaligned, and with one bit too many.
  for (const uint64_t wrong : {uint64_t{512}, uint64_t{1} << 40}) {
    image.WriteBe64(image.OffsetOf(kTable),
                    image.OffsetOf(kSnapshotL1) ^ wrong);
    const Planned planned = PlanDeeply(image.file());
    ExpectClean(planned.repair.after);
    EXPECT_EQ(SnapshotsOf(*planned.view).front(), First(image));
  }
  // A length that cannot be true.
  PutSnapshots(image, {First(image)});
  image.Write(image.OffsetOf(kTable) + 8,
              std::vector<std::byte>(4, std::byte{0xff}));
  const Planned planned = ExpectMended(image, Problem::kSnapshotL1TooLarge);
  EXPECT_EQ(SnapshotsOf(*planned.view).front(), First(image));
}

TEST(SnapshotStepTest, LostL1TableIsDroppedOnRequestOnly) {
  TestImage image;
  SnapshotEntry lost = First(image);
  lost.l1_table_offset = HostOffset(kPastEnd);
  PutSnapshots(image, {lost, Second(image)});
  image.SetCount(kSnapshotL1, 0);
  ExpectLeft(image, Problem::kSnapshotL1PastEnd);
  RepairOptions options;
  options.drop_snapshots = {"before", "after"};
  ExpectLeft(image, Problem::kSnapshotL1PastEnd, options);
  options.mode = Mode::kSalvage;
  const Planned planned =
      ExpectMended(image, Problem::kSnapshotL1PastEnd, options);
  // The other one is named, too, but sound.
  EXPECT_EQ(SnapshotsOf(*planned.view),
            std::vector<SnapshotEntry>{Second(image)});
  ASSERT_EQ(planned.repair.plan.guest_changes().size(), 1);
  EXPECT_EQ(planned.repair.plan.guest_changes().front().range.snapshot,
            "before");
}

TEST(SnapshotStepTest, CountIsThatOfTheEntries) {
  TestImage image;
  PutSnapshots(image, {First(image), Second(image)});
  image.header.nb_snapshots = 0xfffffffe;
  Planned planned = ExpectMended(image, Problem::kSnapshotCount);
  EXPECT_EQ(SnapshotsOf(*planned.view).size(), 2);
  // Within the limit, but behind the last entry there are zeros.
  image.header.nb_snapshots = 5;
  planned = ExpectMended(image, Problem::kSnapshotExtraShort);
  EXPECT_EQ(SnapshotsOf(*planned.view),
            (std::vector<SnapshotEntry>{First(image), Second(image)}));
}

TEST(SnapshotStepTest, ZerosMayHaveBeenEntriesWhileSomethingIsLeft) {
  TestImage image;
  PutSnapshots(image, {First(image)});
  image.header.nb_snapshots = 2;
  // Shaped like an L2 table: it is kept, and with it the doubt.
  image.WriteBe64(image.OffsetOf(kUnused), image.OffsetOf(5));
  image.WriteBe64(image.OffsetOf(kUnused) + 8, image.OffsetOf(6));
  image.WriteBe64(image.OffsetOf(kUnused) + 16, image.OffsetOf(7));
  image.SetCount(kUnused, 1);
  const Planned planned = PlanDeeply(image.file());
  EXPECT_EQ(HeaderOf(*planned.view).nb_snapshots, 2);
  EXPECT_TRUE(planned.repair.after.Found(Problem::kSnapshotExtraShort));
}

TEST(SnapshotStepTest, TableIsFoundByItsOrphanedCluster) {
  for (const uint64_t wrong : {uint64_t{0x200}, uint64_t{0x40000000}}) {
    TestImage image;
    PutSnapshots(image, {First(image), Second(image)});
    image.header.snapshots_offset = HostOffset(image.OffsetOf(kTable) ^ wrong);
    const Planned planned = PlanDeeply(image.file());
    EXPECT_NE(planned.repair.before.status, CheckStatus::kClean);
    ExpectClean(planned.repair.after);
    EXPECT_EQ(HeaderOf(*planned.view).snapshots_offset.value(),
              image.OffsetOf(kTable));
    EXPECT_EQ(SnapshotsOf(*planned.view).size(), 2);
  }
}

TEST(SnapshotStepTest, LostTableIsGivenUpWhenNothingIsLeftOfIt) {
  TestImage image;
  image.header.nb_snapshots = 3;
  image.header.snapshots_offset = HostOffset(kPastEnd);
  Planned planned = ExpectMended(image, Problem::kSnapshotTablePastEnd);
  EXPECT_EQ(HeaderOf(*planned.view).nb_snapshots, 0);
  EXPECT_EQ(HeaderOf(*planned.view).snapshots_offset.value(), 0);

  // A leak may be what is left of a snapshot.
  image.SetCount(kUnused, 1);
  EXPECT_TRUE(PlanDeeply(image.file())
                  .repair.after.Found(Problem::kSnapshotTablePastEnd));
  planned = PlanDeeply(image.file(), WithMode(Mode::kSalvage));
  EXPECT_EQ(HeaderOf(*planned.view).nb_snapshots, 0);
  EXPECT_FALSE(planned.repair.plan.notes().empty());
}

TEST(SnapshotStepTest, OffsetWithoutSnapshotsIsCleared) {
  TestImage image;
  image.header.snapshots_offset = HostOffset(0x1234);
  const Planned planned = ExpectMended(image, Problem::kSnapshotTableUnaligned);
  EXPECT_EQ(HeaderOf(*planned.view).snapshots_offset.value(), 0);
}

TEST(SnapshotStepTest, TableThatSharesItsClusterMoves) {
  TestImage image;
  SnapshotEntry entry = First(image);
  entry.extra_data.clear();
  // The table ends in the cluster that guest data begins in.
  PutSnapshots(image, {entry});
  image.SetL2(0, image.OffsetOf(kTable) | kCopiedFlag);
  image.SetCount(5, 0);
  const std::vector<std::byte> before =
      BytesAt(image.file(), image.OffsetOf(kTable), image.cluster_size());
  const Planned planned = PlanDeeply(image.file());
  EXPECT_FALSE(planned.repair.after.Found(Problem::kSnapshotExtraShort));
  EXPECT_NE(HeaderOf(*planned.view).snapshots_offset.value(),
            image.OffsetOf(kTable));
  EXPECT_EQ(
      BytesAt(*planned.view, image.OffsetOf(kTable), image.cluster_size()),
      before);
}

}  // namespace
}  // namespace qcow2::repair
