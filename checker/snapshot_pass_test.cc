#include <string>
#include <vector>

#include "checker/passes.h"
#include "checker/test_image.h"
#include "engine/format/snapshot_table.h"
#include "engine/storage/faulty_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kTableCluster = 8;

SnapshotEntry Snapshot(const std::string& id, const std::string& name) {
  SnapshotEntry entry;
  entry.l1_table_offset = HostOffset(0x9000);
  entry.l1_size = 1;
  entry.extra_data.resize(24);
  entry.extra_data[14] = std::byte{0x30};  // a disk of 0x3000 bytes
  entry.id = id;
  entry.name = name;
  return entry;
}

TestImage ImageWith(std::vector<SnapshotEntry> entries) {
  TestImage image;
  image.header.nb_snapshots = static_cast<uint32_t>(entries.size());
  image.header.snapshots_offset = HostOffset(image.OffsetOf(kTableCluster));
  image.Write(image.OffsetOf(kTableCluster), EncodeSnapshotTable(entries));
  return image;
}

PassRun Check(TestImage image) {
  return PassRun(image.file(), [](CheckState& state) {
    if (RunHeaderPass(state)) RunSnapshotPass(state);
  });
}

TEST(SnapshotPassTest, SoundTable) {
  const PassRun run =
      Check(ImageWith({Snapshot("1", "first"), Snapshot("2", "")}));
  EXPECT_THAT(run.Codes(), IsEmpty());
  const ImageModel& model = run.state().model;
  EXPECT_EQ(model.snapshot_count, 2);
  ASSERT_EQ(model.l1_tables.size(), 3);
  EXPECT_EQ(model.l1_tables[1].snapshot_name, "first");
  EXPECT_EQ(model.l1_tables[1].disk_size_bytes, 0x3000);
  EXPECT_EQ(model.l1_tables[2].snapshot_name, "2");
  EXPECT_EQ(model.regions.back().owner, kOwnerSnapshotTable);
  // 40 + 24 + 1 + 5, padded to 72, and 40 + 24 + 1 without padding.
  EXPECT_EQ(model.regions.back().length_bytes, 72 + 65);
  EXPECT_FALSE(model.references_incomplete);
}

TEST(SnapshotPassTest, L1Damage) {
  SnapshotEntry unaligned = Snapshot("1", "unaligned");
  unaligned.l1_table_offset = HostOffset(9 * 4096 + 8);
  SnapshotEntry past_end = Snapshot("2", "past end");
  past_end.l1_table_offset = HostOffset(0x80000);
  SnapshotEntry large = Snapshot("3", "large");
  large.l1_size = 0x400001;
  SnapshotEntry small = Snapshot("4", "small");
  small.extra_data[13] = std::byte{0x80};  // a disk of 8 MiB
  SnapshotEntry size = Snapshot("5", "size");
  size.extra_data[8] = std::byte{0x10};
  const PassRun run =
      Check(ImageWith({unaligned, past_end, large, small, size}));
  EXPECT_THAT(run.Codes(),
              ElementsAre("snapshot-l1-unaligned", "snapshot-l1-past-end",
                          "snapshot-l1-too-large", "snapshot-l1-too-small",
                          "snapshot-disk-size"));
  EXPECT_EQ(DescribeFinding(*run.Only(Problem::kSnapshotL1PastEnd)),
            "snapshot table at 0x8000, entry 1 (snapshot \"past end\"), "
            "l1_table_offset: its L1 table at 0x80000 reaches past the end of "
            "the file at 0x10000");
  EXPECT_EQ(run.Only(Problem::kSnapshotL1TooSmall)->expected, 5);
  // The active one, the one past the end, and the two whose sizes disagree.
  EXPECT_EQ(run.state().model.l1_tables.size(), 4);
  EXPECT_EQ(run.state().sink.qemu().corruptions, 3);
  EXPECT_EQ(run.state().sink.qemu().unseen, 2);
}

TEST(SnapshotPassTest, ExtraData) {
  SnapshotEntry without = Snapshot("1", "without");
  without.extra_data.clear();
  SnapshotEntry with_much = Snapshot("2", "with much");
  with_much.extra_data.resize(1025);
  const PassRun run =
      Check(ImageWith({without, with_much, Snapshot("3", "third")}));
  EXPECT_THAT(run.Codes(),
              ElementsAre("snapshot-extra-short", "snapshot-extra-long"));
  EXPECT_EQ(run.state().model.l1_tables.back().snapshot_name, "third");
  EXPECT_EQ(run.state().sink.qemu().corruptions, 1);
  EXPECT_EQ(run.state().sink.qemu().check_errors, 1);
}

TEST(SnapshotPassTest, DuplicateId) {
  const PassRun run = Check(
      ImageWith({Snapshot("1", "a"), Snapshot("2", "b"), Snapshot("1", "c")}));
  EXPECT_EQ(DescribeFinding(*run.Only(Problem::kSnapshotDuplicateId)),
            "snapshot table at 0x8000, entry 2 (snapshot \"c\") has the same "
            "ID as snapshot 0: \"1\"");
}

TEST(SnapshotPassTest, TableTooLarge) {
  TestImage image = ImageWith({Snapshot("1", "a"), Snapshot("2", "b")});
  // The length of the first one's extra data.
  image.WriteBe64(image.OffsetOf(kTableCluster) + 32, 0xfffffff0);
  const PassRun run = Check(image);
  EXPECT_THAT(run.Codes(), ElementsAre("snapshot-table-too-large"));
  EXPECT_EQ(run.Only(Problem::kSnapshotTableTooLarge)->expected, 64 << 20);
  EXPECT_TRUE(run.state().model.references_incomplete);
}

TEST(SnapshotPassTest, ACountOutOfRangeKeepsTheSnapshotsThatAreThere) {
  TestImage image = ImageWith({Snapshot("1", "a"), Snapshot("2", "b")});
  image.header.nb_snapshots = 0x80000002;
  const PassRun run = Check(image);
  EXPECT_THAT(run.Codes(), ElementsAre("snapshot-count"));
  EXPECT_EQ(run.state().model.snapshot_count, 2);
}

TEST(SnapshotPassTest, TableUnalignedAndPastEnd) {
  TestImage image = ImageWith({Snapshot("1", "a")});
  image.header.snapshots_offset = HostOffset(0x8008);
  EXPECT_THAT(Check(image).Codes(), ElementsAre("snapshot-table-unaligned"));
  image.header.snapshots_offset = HostOffset(0x80000);
  EXPECT_THAT(Check(image).Codes(),
              ElementsAre("snapshot-table-past-end", "snapshot-extra-short"));
}

// Version 2 knows no extra data, and entries past the end read as zeros: the
// most a count can make us do.
TEST(SnapshotPassTest, AsManyEmptyEntriesAsThereMayBe) {
  TestImage image(2);
  image.header.nb_snapshots = kMaxSnapshots;
  image.header.snapshots_offset = HostOffset(0x8000);
  const PassRun run = Check(image);
  EXPECT_EQ(run.state().sink.CountOf(Problem::kSnapshotDuplicateId),
            kMaxSnapshots - 1);
  EXPECT_EQ(run.state().model.l1_tables.size(), 1);
}

TEST(SnapshotPassTest, ExternalDataFile) {
  TestImage image = ImageWith({Snapshot("1", "a")});
  image.header.incompatible_features = kIncompatibleDataFile;
  const PassRun run = Check(image);
  EXPECT_EQ(run.Only(Problem::kSnapshotDataFile)->actual, 1);
}

// The first entry's name, then the second entry's fixed part, lie in a bad
// sector: the first snapshot is still followed, those behind are unknown.
TEST(SnapshotPassTest, BadSectorInTheTable) {
  SnapshotEntry first = Snapshot("1", std::string(450, 'n'));
  first.extra_data.resize(64);
  TestImage image = ImageWith({first, Snapshot("2", "b")});
  FaultyFile file(image.file());
  file.FailReadsIn({image.OffsetOf(kTableCluster) + 512, 1});
  const PassRun run(static_cast<const File&>(file), [](CheckState& state) {
    if (RunHeaderPass(state)) RunSnapshotPass(state);
  });
  EXPECT_THAT(run.Codes(), ElementsAre("snapshot-unparseable"));
  const auto findings = run.FindingsOf(Problem::kSnapshotUnparseable);
  ASSERT_EQ(findings.size(), 2);
  EXPECT_EQ(findings[1].location.index, 1);
  EXPECT_THAT(findings[1].detail, HasSubstr("Input/output error"));
  EXPECT_EQ(run.state().model.l1_tables.size(), 2);
  EXPECT_TRUE(run.state().model.references_incomplete);
  EXPECT_EQ(run.state().sink.counts().unreadable_bytes, 512);
}

}  // namespace
}  // namespace qcow2::checker
