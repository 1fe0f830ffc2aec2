// Links between findings made up for the purpose: one case a rule, with the
// neighbours that the rule must leave alone.
#include "checker/root_cause.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

constexpr uint32_t kClusterBits = 12;

Finding OnClusters(Problem problem, uint64_t first, uint64_t clusters) {
  Finding finding;
  finding.problem = problem;
  finding.location.structure = Structure::kHostCluster;
  finding.host = HostRun{first, clusters, first << kClusterBits};
  return finding;
}

Finding InTable(Problem problem, uint64_t table_offset, uint64_t index) {
  Finding finding;
  finding.problem = problem;
  finding.location.structure = Structure::kActiveL2;
  finding.location.table_offset = table_offset;
  finding.location.index = index;
  return finding;
}

// The whole table in the cluster at `table_offset`.
Finding WholeTable(Problem problem, uint64_t table_offset) {
  Finding finding = OnClusters(problem, table_offset >> kClusterBits, 1);
  finding.location.structure = Structure::kActiveL2;
  finding.location.table_offset = table_offset;
  return finding;
}

Finding InRefcountTable(Problem problem, uint64_t index) {
  Finding finding;
  finding.problem = problem;
  finding.location.structure = Structure::kRefcountTable;
  finding.location.index = index;
  return finding;
}

Finding SuspectLeak(uint64_t cluster) {
  Finding finding = OnClusters(Problem::kClusterLeaked, cluster, 1);
  finding.suspect_orphan = true;
  return finding;
}

// The root causes of the findings, numbered from 1 as a report numbers them.
std::vector<uint32_t> RootCausesOf(std::vector<Finding> findings) {
  uint32_t id = 0;
  for (Finding& finding : findings) finding.id = ++id;
  LinkRootCauses(*Geometry::Create(kClusterBits, /*refcount_order=*/4,
                                   /*extended_l2=*/false),
                 findings);
  std::vector<uint32_t> causes;
  causes.reserve(findings.size());
  for (const Finding& finding : findings) causes.push_back(finding.root_cause);
  return causes;
}

using Causes = std::vector<uint32_t>;

TEST(RootCauseTest, WhatNothingExplainsIsItsOwnCause) {
  EXPECT_EQ(RootCausesOf({OnClusters(Problem::kRefcountTooLow, 5, 1),
                          OnClusters(Problem::kRefcountTooHigh, 5, 1),
                          InTable(Problem::kL2EntryReserved, 0x4000, 1)}),
            (Causes{1, 2, 3}));
  EXPECT_EQ(RootCausesOf({}), Causes{});
}

TEST(RootCauseTest, OverlapExplainsTheCountsOfItsClusters) {
  for (const Problem overlap :
       {Problem::kOverlapMetadata, Problem::kOverlapGuestData}) {
    for (const Problem count :
         {Problem::kRefcountTooLow, Problem::kRefcountTooHigh,
          Problem::kRefcountOverflow, Problem::kRefcountBlockShared,
          Problem::kL1CopiedWrong, Problem::kL2CopiedWrong}) {
      // Clusters 10 to 12 are shared; 9 and 13 are not.
      EXPECT_EQ(
          RootCausesOf({OnClusters(count, 8, 2), OnClusters(count, 9, 2),
                        OnClusters(count, 12, 5), OnClusters(count, 13, 1),
                        OnClusters(overlap, 10, 3)}),
          (Causes{1, 5, 5, 4, 5}));
    }
  }
}

TEST(RootCauseTest, OverlapExplainsNoLeakAndNoOtherOverlap) {
  EXPECT_EQ(RootCausesOf({OnClusters(Problem::kOverlapMetadata, 10, 1),
                          OnClusters(Problem::kOverlapGuestData, 10, 1),
                          OnClusters(Problem::kClusterLeaked, 10, 1)}),
            (Causes{1, 2, 3}));
}

TEST(RootCauseTest, DamagedTableExplainsItsEntriesAlone) {
  for (const Problem damage :
       {Problem::kL2TableIsRefcountBlock, Problem::kL2TableIsGuestData,
        Problem::kL2TableWiped}) {
    EXPECT_EQ(
        RootCausesOf({InTable(Problem::kL2EntryReserved, 0x4000, 1),
                      InTable(Problem::kL2EntryReserved, 0x5000, 1),
                      InTable(Problem::kL1EntryReserved, 0x4000, 1),
                      WholeTable(damage, 0x4000), WholeTable(damage, 0x4000)}),
        (Causes{4, 2, 3, 4, 5}));
  }
}

// 2048 counts of 16 bits are in a block of 4 KiB.
TEST(RootCauseTest, MissingBlockExplainsTheCountsItShouldHold) {
  for (const Problem block :
       {Problem::kRefcountBlockMissing, Problem::kRefcountBlockPastEnd,
        Problem::kRefcountBlockDuplicate,
        Problem::kRefcountTableEntryReserved}) {
    EXPECT_EQ(RootCausesOf({InRefcountTable(block, 1),
                            OnClusters(Problem::kRefcountTooLow, 2047, 1),
                            OnClusters(Problem::kRefcountTooLow, 2048, 9),
                            OnClusters(Problem::kRefcountTooHigh, 4095, 1),
                            OnClusters(Problem::kClusterLeaked, 3000, 1),
                            OnClusters(Problem::kRefcountPastEnd, 3001, 1),
                            OnClusters(Problem::kRefcountTooLow, 4096, 1),
                            OnClusters(Problem::kRefcountOverflow, 2048, 1)}),
              (Causes{1, 2, 1, 1, 1, 1, 7, 8}))
        << RowOf(block).code;
  }
}

TEST(RootCauseTest, UnalignedOrUnreadableBlockExplainsNoCounts) {
  EXPECT_EQ(RootCausesOf({InRefcountTable(Problem::kRefcountBlockUnaligned, 0),
                          InRefcountTable(Problem::kRefcountBlockUnreadable, 0),
                          OnClusters(Problem::kRefcountTooLow, 7, 1)}),
            (Causes{1, 2, 3}));
}

TEST(RootCauseTest, SharingExplainsCopiedAndCountsThatAreTooLow) {
  EXPECT_EQ(RootCausesOf({OnClusters(Problem::kGuestClusterShared, 20, 2),
                          OnClusters(Problem::kL2CopiedWrong, 21, 1),
                          OnClusters(Problem::kRefcountTooLow, 19, 2),
                          OnClusters(Problem::kRefcountTooHigh, 21, 1),
                          OnClusters(Problem::kL2CopiedWrong, 22, 1)}),
            (Causes{1, 1, 1, 4, 5}));
}

TEST(RootCauseTest, TheOneLossOfReferencesExplainsSuspectLeaks) {
  const Finding plain_leak = OnClusters(Problem::kClusterLeaked, 30, 1);
  for (const Problem loss :
       {Problem::kL1EntryPastEnd, Problem::kL2EntryUnaligned,
        Problem::kL2TableWiped, Problem::kSnapshotUnparseable,
        Problem::kSubclusterWithoutOffset}) {
    EXPECT_EQ(RootCausesOf({InTable(loss, 0x4000, 3), SuspectLeak(40),
                            plain_leak, SuspectLeak(50)}),
              (Causes{1, 1, 3, 1}));
    // Which of two it was, nobody can tell.
    EXPECT_EQ(RootCausesOf({InTable(loss, 0x4000, 3), SuspectLeak(40),
                            InTable(loss, 0x8000, 3)}),
              (Causes{1, 2, 3}));
  }
  // Bits that hide no cluster lose nothing.
  EXPECT_EQ(RootCausesOf({InTable(Problem::kL2EntryReserved, 0x4000, 3),
                          SuspectLeak(4)}),
            (Causes{1, 2}));
}

TEST(RootCauseTest, LinksAreFollowedToTheFirstCause) {
  // The entry hangs on its table, the table on the overlap that wrecked it.
  EXPECT_EQ(RootCausesOf({InTable(Problem::kL2EntryReserved, 0x4000, 1),
                          WholeTable(Problem::kL2TableIsRefcountBlock, 0x4000),
                          OnClusters(Problem::kOverlapMetadata, 4, 1),
                          SuspectLeak(99)}),
            (Causes{3, 3, 3, 3}));
}

TEST(RootCauseTest, CausesBeyondTheLimitAreNotTried) {
  std::vector<Finding> findings;
  for (uint64_t i = 0; i < 1001; ++i) {
    findings.push_back(OnClusters(Problem::kOverlapMetadata, 2 * i, 1));
  }
  findings.push_back(OnClusters(Problem::kRefcountTooLow, 1998, 1));
  findings.push_back(OnClusters(Problem::kRefcountTooLow, 2000, 1));
  const Causes causes = RootCausesOf(std::move(findings));
  EXPECT_EQ(causes[1001], 1000);
  EXPECT_EQ(causes[1002], 1003);
}

}  // namespace
}  // namespace qcow2::checker
