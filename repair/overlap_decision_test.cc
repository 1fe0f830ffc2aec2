// Who keeps its place and who moves.
#include "repair/overlap_decision.h"

#include <cstdint>
#include <set>
#include <vector>

#include "checker/finding.h"
#include "gtest/gtest.h"

namespace qcow2::repair {
namespace {

constexpr uint32_t kClusterBits = 12;

// Claims put together by hand; clusters are shared if they were said to be.
class Claims {
 public:
  explicit Claims(std::vector<uint64_t> shared) {
    claims_.clusters = std::move(shared);
  }
  Claims& Unit(uint32_t owner, uint64_t cluster, uint64_t clusters = 1,
               bool movable = true) {
    SharingUnit unit;
    unit.owner = owner;
    unit.offset_bytes = cluster << kClusterBits;
    unit.length_bytes = clusters << kClusterBits;
    unit.movable = movable && owner != checker::kOwnerHeader;
    claims_.units.push_back(unit);
    return *this;
  }
  Claims& Guest(uint64_t cluster, bool readable = true) {
    GuestClaim claim;
    claim.first_cluster = claim.last_cluster = cluster;
    claim.entries = 1;
    claim.readable = readable;
    claims_.guest[cluster] = claim;
    return *this;
  }
  OverlapDecision Decide(bool guest_is_tied = false) const {
    return DecideOverlaps(claims_, kClusterBits, guest_is_tied);
  }

 private:
  OverlapClaims claims_;
};

std::set<size_t> MovingUnits(const OverlapDecision& decision) {
  std::set<size_t> units;
  for (const OverlapDecision::MovingUnit& moving : decision.units) {
    units.insert(moving.unit);
  }
  return units;
}

TEST(OverlapDecisionTest, TheStrongestKeepsItsPlace) {
  const uint32_t by_rank[] = {
      checker::kOwnerHeader,      checker::kOwnerLuksHeader,
      checker::kOwnerActiveL1,    checker::kOwnerSnapshotTable,
      checker::kOwnerInactiveL1,  checker::kOwnerBitmapDirectory,
      checker::kOwnerActiveL2,    checker::kOwnerInactiveL2,
      checker::kOwnerBitmapTable, checker::kOwnerBitmapData};
  for (size_t strong = 0; strong < std::size(by_rank); ++strong) {
    for (size_t weak = strong + 1; weak < std::size(by_rank); ++weak) {
      Claims claims({5});
      claims.Unit(by_rank[weak], 5).Unit(by_rank[strong], 5).Guest(5);
      const OverlapDecision decision = claims.Decide();
      EXPECT_EQ(MovingUnits(decision), std::set<size_t>({0}));
      EXPECT_EQ(decision.units.front().keeper, 1u);
      EXPECT_EQ(decision.guest_clusters.at(5), 1u);
      EXPECT_EQ(decision.contested, 0u);
    }
  }
}

TEST(OverlapDecisionTest, AnOwnerWithoutASecondOneStays) {
  // The other one is a refcount structure, which is not among the claims.
  const OverlapDecision decision =
      Claims({5, 6}).Unit(checker::kOwnerActiveL2, 5).Guest(6).Decide();
  EXPECT_TRUE(decision.empty());
}

TEST(OverlapDecisionTest, WhoMovesLeavesAllItsClustersToOthers) {
  // The snapshot's L1 table loses cluster 5, so the L2 table keeps 6.
  const OverlapDecision decision = Claims({5, 6})
                                       .Unit(checker::kOwnerActiveL1, 5)
                                       .Unit(checker::kOwnerInactiveL1, 4, 3)
                                       .Unit(checker::kOwnerActiveL2, 6)
                                       .Decide();
  EXPECT_EQ(MovingUnits(decision), std::set<size_t>({1}));
  EXPECT_EQ(decision.units.front().cluster, 5u);
}

TEST(OverlapDecisionTest, GuestDataThatIsTiedStays) {
  const OverlapDecision decision = Claims({5, 7})
                                       .Unit(checker::kOwnerActiveL1, 5)
                                       .Unit(checker::kOwnerActiveL2, 7)
                                       .Guest(5)
                                       .Guest(7)
                                       .Decide(/*guest_is_tied=*/true);
  EXPECT_EQ(MovingUnits(decision), std::set<size_t>({0, 1}));
  EXPECT_TRUE(decision.guest_clusters.empty());
  EXPECT_EQ(decision.units.front().keeper, OverlapDecision::kGuestKeeps);
}

TEST(OverlapDecisionTest, WhoCannotMoveBeatsWhoCan) {
  const OverlapDecision decision =
      Claims({5})
          .Unit(checker::kOwnerActiveL1, 5)
          .Unit(checker::kOwnerBitmapData, 5, 1, /*movable=*/false)
          .Guest(5)
          .Decide();
  EXPECT_EQ(MovingUnits(decision), std::set<size_t>({0}));
  EXPECT_EQ(decision.guest_clusters.at(5), 1u);
}

TEST(OverlapDecisionTest, UnreadableGuestDataStays) {
  const OverlapDecision decision = Claims({5, 6})
                                       .Unit(checker::kOwnerBitmapTable, 5)
                                       .Unit(checker::kOwnerBitmapTable, 6)
                                       .Guest(5, /*readable=*/false)
                                       .Guest(6)
                                       .Decide();
  EXPECT_EQ(MovingUnits(decision), std::set<size_t>({0}));
  EXPECT_TRUE(decision.guest_clusters.contains(6));
  EXPECT_FALSE(decision.guest_clusters.contains(5));
}

// Cluster 0 stays shared, so that nothing the header names can move, and so on
// down to the guest data, which is named by L2 tables that are all alone.
TEST(OverlapDecisionTest, NobodyMovesWhosePlaceIsStoredInASharedCluster) {
  const OverlapDecision decision = Claims({0, 5, 6, 7})
                                       .Unit(checker::kOwnerHeader, 0)
                                       .Guest(0, /*readable=*/false)
                                       .Unit(checker::kOwnerSnapshotTable, 5)
                                       .Unit(checker::kOwnerActiveL1, 5)
                                       .Unit(checker::kOwnerInactiveL1, 6)
                                       .Unit(checker::kOwnerInactiveL1, 6)
                                       .Unit(checker::kOwnerBitmapData, 7)
                                       .Guest(7)
                                       .Decide();
  EXPECT_TRUE(MovingUnits(decision).empty());
  EXPECT_EQ(decision.contested,
            checker::kOwnerHeader | checker::kOwnerGuestData |
                checker::kOwnerSnapshotTable | checker::kOwnerActiveL1 |
                checker::kOwnerInactiveL1);
  EXPECT_EQ(decision.guest_clusters.size(), 1u);
  EXPECT_TRUE(decision.guest_clusters.contains(7));
}

}  // namespace
}  // namespace qcow2::repair
