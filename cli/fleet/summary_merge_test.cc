#include "cli/fleet/summary_merge.h"

#include "cli/sample_reports.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

constexpr int kImages = 60;

void Add(int number, FleetSummary& summary) {
  checker::CheckReport report = number % 3 == 0   ? CleanReport()
                                : number % 3 == 1 ? LeakyReport()
                                                  : CorruptReport();
  report.image.path = "image" + std::to_string(number);
  ++summary.found;
  AddToSummary({report}, static_cast<uint64_t>(number % 7), summary);
}

Json JsonOf(const FleetSummary& summary) {
  return Json::parse(SummaryJson(summary, JsonLayout::kOneLine))["summary"];
}

TEST(SummaryMergeTest, PartsMakeTheWhole) {
  FleetSummary whole;
  FleetSummary parts[4];
  for (int i = 0; i < kImages; ++i) {
    Add(i, whole);
    Add(i, parts[i * i % 4]);
  }
  FleetSummary merged;
  for (FleetSummary& part : parts) {
    part.errors = {"a folder cannot be read"};
    MergeSummary(JsonOf(part), merged);
  }
  whole.errors = {"a folder cannot be read"};
  EXPECT_EQ(JsonOf(merged), JsonOf(whole));
}

TEST(SummaryMergeTest, TheWorstEndAndTheLongestTime) {
  FleetSummary merged;
  FleetSummary part;
  part.seconds = 5;
  part.end = FleetEnd::kTimeBudget;
  part.change.emplace();
  part.change->missing = {"a"};
  part.change->new_leaks = 1;
  MergeSummary(JsonOf(part), merged);
  part.seconds = 3;
  part.end = FleetEnd::kComplete;
  MergeSummary(JsonOf(part), merged);
  EXPECT_EQ(merged.end, FleetEnd::kTimeBudget);
  EXPECT_EQ(merged.seconds, 5);
  ASSERT_TRUE(merged.change.has_value());
  EXPECT_EQ(merged.change->new_leaks, 2u);
  EXPECT_EQ(merged.change->missing.size(), 2u);
}

TEST(SummaryMergeTest, ASummaryOfAnyShapeDoesNoHarm) {
  for (const char* text :
       {"7", "[]", "{}", R"({"images":7,"counts":[],"damaged":[7,{}],
        "errors":[1],"seconds":"x","change":7,"exit_code":-1})"}) {
    FleetSummary merged;
    MergeSummary(Json::parse(text), merged);
    EXPECT_EQ(merged.found, 0u);
    EXPECT_TRUE(merged.errors.empty());
  }
}

}  // namespace
}  // namespace qcow2::cli
