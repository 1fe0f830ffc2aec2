#include "checker/finding_sink.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

Finding Leak(uint64_t first, uint64_t clusters, uint64_t actual = 1) {
  Finding finding;
  finding.problem = Problem::kClusterLeaked;
  finding.count = clusters;
  finding.location.structure = Structure::kHostCluster;
  finding.host = HostRun{first, clusters, first * 65536};
  finding.actual = actual;
  return finding;
}

Finding Entry(uint64_t index, uint64_t guest_offset) {
  Finding finding;
  finding.problem = Problem::kL2EntryUnaligned;
  finding.location.structure = Structure::kActiveL2;
  finding.location.table_offset = 0x40000;
  finding.location.index = index;
  finding.guest.push_back({guest_offset, 65536, "", false});
  return finding;
}

TEST(FindingSinkTest, MergesAdjoiningClustersAndCountsThem) {
  FindingSink sink(0);
  sink.Add(Leak(10, 2));
  sink.Add(Leak(12, 3));
  sink.Add(Leak(20, 1));
  const std::vector<Finding> findings = sink.TakeFindings();
  ASSERT_EQ(findings.size(), 2);
  EXPECT_EQ(findings[0].count, 5);
  EXPECT_EQ(findings[0].host->clusters, 5);
  EXPECT_EQ(sink.counts().leaks, 6);
  EXPECT_EQ(sink.qemu().leaks, 6);
}

TEST(FindingSinkTest, KeepsRunsOfOtherValuesApart) {
  FindingSink sink(0);
  sink.Add(Leak(10, 1, 1));
  sink.Add(Leak(11, 1, 2));
  EXPECT_EQ(sink.TakeFindings().size(), 2);
}

TEST(FindingSinkTest, MergesNeighbouringEntriesAndTheirGuestRange) {
  FindingSink sink(0);
  sink.Add(Entry(4, 0x40000));
  sink.Add(Entry(5, 0x50000));
  sink.Add(Entry(7, 0x70000));
  const std::vector<Finding> findings = sink.TakeFindings();
  ASSERT_EQ(findings.size(), 2);
  EXPECT_EQ(findings[0].count, 2);
  EXPECT_EQ(findings[0].guest[0].length_bytes, 0x20000);
}

TEST(FindingSinkTest, CountsBeyondWhatItKeeps) {
  FindingSink sink(2);
  for (uint64_t i = 0; i < 10; ++i) sink.Add(Leak(i * 2, 1));
  EXPECT_EQ(sink.counts().leaks, 10);
  EXPECT_EQ(sink.CountOf(Problem::kClusterLeaked), 10);
  EXPECT_EQ(sink.omitted(), 8);
  EXPECT_EQ(sink.TakeFindings().size(), 2);
}

TEST(FindingSinkTest, CountsRunsOfClustersThatAreNotKept) {
  FindingSink sink(1);
  EXPECT_FALSE(sink.IsFull(Problem::kClusterLeaked));
  sink.Add(Leak(2, 1));
  EXPECT_TRUE(sink.IsFull(Problem::kClusterLeaked));
  EXPECT_FALSE(sink.IsFull(Problem::kRefcountTooHigh));
  sink.CountClusterRuns(Problem::kClusterLeaked, 3, 10);
  EXPECT_EQ(sink.counts().leaks, 11);
  EXPECT_EQ(sink.qemu().leaks, 11);
  EXPECT_EQ(sink.omitted(), 3);
}

TEST(FindingSinkTest, QemuCountMayDiffer) {
  FindingSink sink(0);
  sink.Add(Entry(0, 0), 17);
  EXPECT_EQ(sink.counts().corruptions, 1);
  EXPECT_EQ(sink.qemu().corruptions, 17);
}

TEST(FindingSinkTest, AppendingJoinsRunsAcrossTheSeam) {
  FindingSink first(0);
  first.Add(Leak(10, 2));
  FindingSink second(0);
  second.Add(Leak(12, 2));
  second.AddUnreadableBytes(512);
  first.Append(second);
  EXPECT_EQ(first.counts().leaks, 4);
  EXPECT_EQ(first.counts().unreadable_bytes, 512);
  EXPECT_EQ(first.TakeFindings().size(), 1);
  EXPECT_TRUE(second.empty());
  EXPECT_THAT(second.TakeFindings(), testing::IsEmpty());
}

TEST(FindingSinkTest, CountsWithAndWithoutOwnersAreOneRun) {
  FindingSink sink(0);
  sink.Add(Leak(10, 2));
  sink.FindingsOf(Problem::kClusterLeaked)[0].owners = kOwnerGuestData;
  sink.Add(Leak(12, 1));
  Finding more = Leak(13, 1);
  more.owners = kOwnerActiveL2;
  more.guest.push_back({0x40000, 65536, "", false});
  sink.Add(std::move(more));
  const std::vector<Finding> findings = sink.TakeFindings();
  ASSERT_EQ(findings.size(), 1);
  EXPECT_EQ(findings[0].count, 4);
  EXPECT_EQ(findings[0].owners, kOwnerGuestData | kOwnerActiveL2);
  ASSERT_EQ(findings[0].guest.size(), 1);
  EXPECT_EQ(findings[0].guest[0].length_bytes, 65536);
}

TEST(FindingSinkTest, RearrangingJoinsWhatWasFoundInTurns) {
  FindingSink sink(0);
  // Entries of two tables, by the clusters they name.
  Finding other = Entry(1, 0x90000);
  other.location.table_offset = 0x30000;
  sink.Add(Entry(4, 0x40000));
  sink.Add(other);
  sink.Add(Entry(5, 0x50000));
  sink.Rearrange(Problem::kL2EntryUnaligned);
  const std::vector<Finding> findings = sink.TakeFindings();
  ASSERT_EQ(findings.size(), 2);
  EXPECT_EQ(findings[0].location.table_offset, 0x30000);
  EXPECT_EQ(findings[1].count, 2);
  EXPECT_EQ(sink.counts().corruptions, 3);
}

TEST(FindingTest, GuestRangesAreSortedJoinedAndLimited) {
  Finding finding;
  AddGuestRanges({{0x40000, 0x10000, "", false}, {0, 0x10000, "", false}},
                 finding);
  AddGuestRanges({{0x10000, 0x10000, "", false}, {0x20000, 1, "s", false}},
                 finding);
  ASSERT_EQ(finding.guest.size(), 3);
  EXPECT_EQ(finding.guest[0].length_bytes, 0x20000);
  EXPECT_EQ(finding.guest[1].offset_bytes, 0x40000);
  EXPECT_EQ(finding.guest[2].snapshot, "s");
  std::vector<GuestRange> many;
  for (uint64_t i = 0; i < 10; ++i) many.push_back({i << 20, 1, "t", false});
  AddGuestRanges(many, finding);
  EXPECT_EQ(finding.guest.size(), kMaxGuestRanges);
  EXPECT_EQ(finding.guest_ranges_omitted, 5);
}

TEST(FindingSinkTest, EmptyUntilSomethingIsAdded) {
  FindingSink sink(0);
  EXPECT_TRUE(sink.empty());
  sink.Add(Leak(1, 1));
  EXPECT_FALSE(sink.empty());
}

}  // namespace
}  // namespace qcow2::checker
