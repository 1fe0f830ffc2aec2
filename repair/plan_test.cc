// What a plan lists, joins and leaves out.
#include "repair/plan.h"

#include <string>

#include "gtest/gtest.h"

namespace qcow2::repair {
namespace {

Edit NumberedEdit(size_t number) {
  return EditFor(checker::Problem::kRefcountTooLow,
                 "cluster " + std::to_string(number), "0", "1");
}

TEST(PlanTest, EditsBeyondTheListAreCounted) {
  Plan plan;
  EXPECT_TRUE(plan.empty());
  for (size_t i = 0; i < Plan::kMaxListedEdits + 7; ++i) {
    EXPECT_EQ(plan.ListsMore(), i < Plan::kMaxListedEdits);
    plan.Add(NumberedEdit(i));
  }
  EXPECT_EQ(plan.edits().size(), 1000);
  EXPECT_EQ(plan.edits_omitted(), 7);
  EXPECT_EQ(plan.changes(), 1007);
}

TEST(PlanTest, EditsThatSayTheSameAreOne) {
  Plan plan;
  plan.Add(NumberedEdit(1));
  plan.Add(NumberedEdit(1));
  plan.Add(NumberedEdit(2));
  ASSERT_EQ(plan.edits().size(), 2);
  EXPECT_EQ(plan.edits()[0].count, 2);
  EXPECT_EQ(plan.changes(), 3);
}

}  // namespace
}  // namespace qcow2::repair
