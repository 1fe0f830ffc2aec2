#include <algorithm>
#include <string>
#include <vector>

#include "checker/finding.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

Finding LeakedRun() {
  Finding finding;
  finding.problem = Problem::kClusterLeaked;
  finding.count = 3;
  finding.location.structure = Structure::kHostCluster;
  finding.host = HostRun{7, 3, 0x70000};
  finding.actual = 1;
  finding.expected = 0;
  return finding;
}

Finding L2Entry(uint64_t count) {
  Finding finding;
  finding.problem = Problem::kL2EntryUnaligned;
  finding.count = count;
  finding.location.structure = Structure::kActiveL2;
  finding.location.table_offset = 0x50000;
  finding.location.index = 12;
  finding.actual = 0x60200;
  return finding;
}

TEST(MessageTest, HostClusters) {
  Finding finding = LeakedRun();
  EXPECT_EQ(DescribeWhere(finding), "host clusters 7-9 (offset 0x70000)");
  EXPECT_EQ(DescribeFinding(finding),
            "host clusters 7-9 (offset 0x70000): refcount is 1, but nothing "
            "refers to it");
  finding.host->clusters = 1;
  EXPECT_EQ(DescribeWhere(finding), "host cluster 7 (offset 0x70000)");
}

TEST(MessageTest, TableEntries) {
  EXPECT_EQ(DescribeWhere(L2Entry(1)), "active L2 table at 0x50000, entry 12");
  EXPECT_EQ(DescribeWhere(L2Entry(8)),
            "active L2 table at 0x50000, entries 12-19");
}

TEST(MessageTest, TablesOfASnapshotNameIt) {
  Finding finding = L2Entry(1);
  finding.location.structure = Structure::kInactiveL2;
  finding.location.snapshot = "before update";
  EXPECT_EQ(DescribeWhere(finding),
            "inactive L2 table at 0x50000 of snapshot \"before update\", entry "
            "12");
}

// The value in the message is the first entry's, so the sentence is, too.
TEST(MessageTest, ASentenceSpeaksOfTheFirstOfARun) {
  EXPECT_EQ(DescribeFinding(L2Entry(8)),
            "active L2 table at 0x50000, entry 12 (of 12-19) names a cluster "
            "at 0x60200, which is not cluster aligned");
}

TEST(MessageTest, NumbersAreDecimalUnlessMarked) {
  Finding finding;
  finding.problem = Problem::kHeaderTruncated;
  finding.actual = 100;
  finding.expected = 72;
  EXPECT_EQ(DescribeFinding(finding),
            "the file is too short to hold a qcow2 header: 100 bytes, at least "
            "72 are needed");
  finding.problem = Problem::kL1TablePastEnd;
  EXPECT_EQ(DescribeFinding(finding),
            "the active L1 table at 0x64 reaches past the end of the file at "
            "0x48");
}

TEST(MessageTest, AValueThatIsNotKnownIsSaidToBe) {
  Finding finding = L2Entry(1);
  finding.actual.reset();
  EXPECT_EQ(DescribeFinding(finding),
            "active L2 table at 0x50000, entry 12 names a cluster at an "
            "unknown value, which is not cluster aligned");
}

TEST(MessageTest, NamesFromTheImageCannotSteerTheTerminal) {
  Finding finding;
  finding.problem = Problem::kSnapshotUnparseable;
  finding.location.structure = Structure::kSnapshotTable;
  finding.location.index = 0;
  finding.location.snapshot = "a\x1B[2J";
  finding.detail = "its name is \r\"\x07\"";
  EXPECT_EQ(DescribeFinding(finding),
            "snapshot table, entry 0 (snapshot \"a\\x1b[2J\") cannot be read: "
            "its name is \\x0d\"\\x07\"");
}

// A typing slip in a template would leave a brace in the text.
TEST(MessageTest, EveryRowIsFilledCompletely) {
  for (const ProblemRow& row : AllProblems()) {
    Finding finding;
    finding.problem = row.problem;
    finding.actual = 1;
    finding.expected = 2;
    finding.detail = "detail";
    const std::string text = DescribeFinding(finding);
    EXPECT_EQ(text.find_first_of("{}"), std::string::npos) << row.code;
    EXPECT_FALSE(text.ends_with('.')) << row.code;
  }
}

TEST(FindingTest, OwnerNamesComeInBitOrder) {
  EXPECT_EQ(OwnerNames(kOwnerGuestData | kOwnerActiveL2),
            (std::vector<std::string>{"active L2", "guest data"}));
  EXPECT_TRUE(OwnerNames(0).empty());
}

TEST(FindingTest, EveryOwnerAndStructureHasANameOfItsOwn) {
  std::vector<std::string> names = OwnerNames((1u << kOwnerCount) - 1);
  EXPECT_EQ(names.size(), static_cast<size_t>(kOwnerCount));
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
  EXPECT_EQ(NameOf(Structure::kFile), "file");
  EXPECT_EQ(NameOf(Structure::kBackingFile), "backing file");
}

}  // namespace
}  // namespace qcow2::checker
