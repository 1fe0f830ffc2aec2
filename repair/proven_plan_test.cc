// Plans that are proven, and the part that is left of those that are not.
#include "repair/proven_plan.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "checker/ownership_map.h"
#include "checker/test_image.h"
#include "engine/status_macros.h"
#include "engine/storage/overlay_file.h"
#include "gtest/gtest.h"
#include "repair/testing.h"

namespace qcow2::repair {
namespace {

using checker::Problem;
using checker::TestImage;

class ProvenPlanTest : public testing::Test {
 protected:
  // A cluster in use that is not counted: mended without any doubt.
  void DamageRefcount() { image_.SetCount(kData, 0); }

  // An L1 entry that lost its table, to which it can be led back, and in that
  // table, which nobody can see until then, an entry that stays bad.
  void HideDamage() {
    image_.SetL2(3, image_.OffsetOf(kFree) + 0x400);
    image_.WriteBe64(image_.OffsetOf(kL1), uint64_t{1} << 63);
  }

  ProvenPlan Plan(const RepairOptions& options = {}) {
    views_ = 0;
    auto plan = PlanWithProof(
        image_.file(), "image", options,
        [this](const File& base) -> absl::StatusOr<PlanView> {
          ++views_;
          PlanView view;
          ASSIGN_OR_RETURN(view.overlay, OverlayFile::Create(base));
          return view;
        });
    EXPECT_TRUE(plan.ok()) << plan.status();
    return *std::move(plan);
  }

  TestImage image_;
  int views_ = 0;
};

TEST_F(ProvenPlanTest, OneThatHoldsIsMadeOnce) {
  DamageRefcount();
  const ProvenPlan plan = Plan();
  ASSERT_TRUE(plan.proof.has_value());
  EXPECT_TRUE(plan.proof->ok);
  EXPECT_EQ(plan.planned.steps_taken,
            (std::vector<std::string_view>{"refcounts"}));
  EXPECT_TRUE(plan.planned.plan.notes().empty());
  EXPECT_EQ(views_, 1);
}

TEST_F(ProvenPlanTest, OfNothingThereIsNoProof) {
  const ProvenPlan plan = Plan();
  EXPECT_FALSE(plan.proof.has_value());
  EXPECT_TRUE(plan.planned.plan.empty());
  EXPECT_EQ(views_, 1);
}

TEST_F(ProvenPlanTest, WhatTheProofSpeaksAgainstIsLeftOut) {
  HideDamage();
  image_.SetCount(kRefcountTable, 0);
  const ProvenPlan plan = Plan();
  ASSERT_TRUE(plan.proof.has_value());
  EXPECT_TRUE(plan.proof->ok);
  EXPECT_GT(views_, 1);
  EXPECT_FALSE(plan.planned.after.Found(Problem::kRefcountTooLow));
  EXPECT_EQ(Be64At(*plan.view.overlay, image_.OffsetOf(kL1)),
            uint64_t{1} << 63);
  EXPECT_TRUE(plan.planned.plan.has_reason_to_stay());
  ASSERT_EQ(plan.planned.plan.notes().size(), 1u);
  const std::string& note = plan.planned.plan.notes().front();
  EXPECT_NE(note.find("\"L1 entries\""), std::string::npos) << note;
  EXPECT_NE(note.find("not be proven: new damage"), std::string::npos) << note;
}

TEST_F(ProvenPlanTest, WhereNothingElseIsToBeDoneTheFailureIsTold) {
  HideDamage();
  const ProvenPlan plan = Plan();
  ASSERT_TRUE(plan.proof.has_value());
  EXPECT_FALSE(plan.proof->ok);
  EXPECT_FALSE(plan.proof->failures.empty());
  EXPECT_FALSE(plan.planned.plan.has_reason_to_stay());
}

// However many plans are tried, and checked.
TEST_F(ProvenPlanTest, WhoOwnsWhatIsAsItWasFound) {
  HideDamage();
  image_.SetCount(kRefcountTable, 0);
  checker::OwnershipMap ownership;
  RepairOptions options;
  options.check.ownership = &ownership;
  Plan(options);
  EXPECT_GT(views_, 2);
  EXPECT_TRUE(
      std::ranges::any_of(ownership.marks, [](const checker::MarkedRun& run) {
        return run.first_cluster == kRefcountTable &&
               run.mark == checker::ClusterMark::kCountTooLow;
      }));
}

TEST_F(ProvenPlanTest, ACancelledOneIsNotProven) {
  DamageRefcount();
  const std::atomic<bool> cancel = true;
  RepairOptions options;
  options.check.cancel = &cancel;
  EXPECT_FALSE(Plan(options).proof.has_value());
}

}  // namespace
}  // namespace qcow2::repair
