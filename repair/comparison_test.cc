#include "repair/comparison.h"

#include "gtest/gtest.h"

namespace qcow2::repair {
namespace {

using checker::CheckReport;
using checker::Finding;
using checker::GuestRange;
using checker::HostRun;
using checker::Problem;
using checker::Structure;

Finding Leak(uint32_t id, uint64_t first, uint64_t clusters) {
  Finding finding;
  finding.id = id;
  finding.problem = Problem::kClusterLeaked;
  finding.count = clusters;
  finding.location.structure = Structure::kHostCluster;
  finding.host = HostRun{first, clusters, first * 65536};
  return finding;
}

Finding BadEntry(uint32_t id, uint64_t table, uint64_t index) {
  Finding finding;
  finding.id = id;
  finding.problem = Problem::kL2EntryUnaligned;
  finding.location.structure = Structure::kActiveL2;
  finding.location.table_offset = table;
  finding.location.index = index;
  finding.guest = {GuestRange{index * 65536, 65536, "", false}};
  return finding;
}

CheckReport Report(std::vector<Finding> problems) {
  CheckReport report;
  report.occurrences.resize(checker::AllProblems().size());
  for (const Finding& finding : problems) {
    report.occurrences[static_cast<size_t>(finding.problem)] += finding.count;
  }
  report.problems = std::move(problems);
  return report;
}

TEST(ComparisonTest, RunsThatShareAClusterAreTheSameDamage) {
  EXPECT_TRUE(SameDamage(Leak(1, 5, 10), Leak(1, 14, 1)));
  EXPECT_TRUE(SameDamage(Leak(1, 14, 1), Leak(1, 5, 10)));
  EXPECT_FALSE(SameDamage(Leak(1, 5, 10), Leak(1, 15, 1)));
  EXPECT_FALSE(SameDamage(Leak(1, 5, 10), Leak(1, 4, 1)));
  Finding other = Leak(1, 5, 10);
  other.problem = Problem::kRefcountTooHigh;
  EXPECT_FALSE(SameDamage(Leak(1, 5, 10), other));
}

TEST(ComparisonTest, AnEntryIsTheSameInATableThatWasMoved) {
  EXPECT_TRUE(SameDamage(BadEntry(1, 0x50000, 7), BadEntry(1, 0x90000, 7)));
  EXPECT_FALSE(SameDamage(BadEntry(1, 0x50000, 7), BadEntry(1, 0x50000, 8)));
}

TEST(ComparisonTest, WhatIsGoneLeftAndNew) {
  const CheckReport before =
      Report({BadEntry(1, 0x50000, 7), Leak(2, 5, 10), Leak(3, 40, 1)});
  const CheckReport after = Report({Leak(1, 5, 3), Leak(2, 80, 2)});
  TransactionReport transaction;
  CompareReports(before, after, {}, transaction);
  EXPECT_EQ(transaction.mended, (std::vector<uint32_t>{1, 3}));
  EXPECT_EQ(transaction.fixed, 1u + 6u);
  ASSERT_EQ(transaction.appeared.size(), 1u);
  EXPECT_EQ(transaction.appeared[0].host->first_cluster, 80u);
  ASSERT_EQ(transaction.left.size(), 1u);
  EXPECT_EQ(transaction.left[0].count, 5u);
}

TEST(ComparisonTest, NothingIsCalledMendedThatMayBeAmongTheUnlisted) {
  const CheckReport before = Report({BadEntry(1, 0x50000, 7), Leak(2, 5, 1)});
  CheckReport after = Report({Leak(1, 9, 1)});
  after.problems_omitted = 1;
  TransactionReport transaction;
  CompareReports(before, after, {}, transaction);
  EXPECT_EQ(transaction.mended, (std::vector<uint32_t>{1}));
}

TEST(ComparisonTest, WhatIsLeftHasAReasonAndARemedy) {
  Finding suspect = Leak(1, 5, 1);
  suspect.suspect_orphan = true;
  const CheckReport after = Report({suspect, BadEntry(2, 0x50000, 7)});
  const auto remedies = [&](const RepairOptions& options) {
    TransactionReport transaction;
    CompareReports(after, after, options, transaction);
    std::vector<std::string> found;
    for (const LeftOver& left : transaction.left) {
      EXPECT_FALSE(left.why.empty());
      found.push_back(left.remedy);
    }
    return found;
  };
  RepairOptions options;
  EXPECT_EQ(remedies(options),
            (std::vector<std::string>{"--free-suspects", "--repair=salvage"}));
  options.mode = Mode::kLeaks;
  EXPECT_EQ(remedies(options),
            (std::vector<std::string>{"--free-suspects", "--repair"}));
  options.mode = Mode::kSalvage;
  EXPECT_EQ(remedies(options),
            (std::vector<std::string>{"--free-suspects", ""}));
}

TEST(ComparisonTest, ACountThatIsKeptForDamageHasItsReason) {
  Finding shared = Leak(1, 5, 1);
  shared.problem = Problem::kRefcountTooHigh;
  const CheckReport after = Report({shared});
  for (const bool kept : {false, true}) {
    TransactionReport transaction;
    if (kept) transaction.plan.KeepSuspectCounts();
    CompareReports(after, after, {}, transaction);
    ASSERT_EQ(transaction.left.size(), 1u);
    EXPECT_EQ(transaction.left[0].remedy == "--free-suspects", kept);
  }
}

TEST(ComparisonTest, AReasonToStayIsNamed) {
  const CheckReport after = Report({BadEntry(2, 0x50000, 7)});
  TransactionReport transaction;
  transaction.plan.AddReasonToStay("no free cluster");
  transaction.plan.AddReasonToStay("no free cluster");
  CompareReports(after, after, {}, transaction);
  ASSERT_EQ(transaction.left.size(), 1u);
  EXPECT_NE(transaction.left[0].why.find("the plan's note"), std::string::npos);
  EXPECT_EQ(transaction.left[0].remedy, "");
  EXPECT_EQ(transaction.plan.notes().size(), 1u);
}

}  // namespace
}  // namespace qcow2::repair
