#include "cli/fleet/summary.h"

#include <nlohmann/json.hpp>

#include "cli/sample_reports.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

ImageReport Named(checker::CheckReport report, const std::string& path) {
  report.image.path = path;
  return {.found = std::move(report)};
}

FleetSummary Sample() {
  FleetSummary summary;
  summary.found = 9;
  summary.left = 5;
  summary.end = FleetEnd::kTimeBudget;
  summary.seconds = 12.3;
  AddToSummary(Named(CleanReport(), "a"), 0, summary);
  AddToSummary(Named(LeakyReport(), "b"), 0, summary);
  AddToSummary(Named(CorruptReport(), "c"), 12, summary);
  AddToSummary(Named(UnopenedReport(), "d"), 0, summary);
  return summary;
}

TEST(SummaryTest, ForPeople) {
  const FleetSummary summary = Sample();
  const std::string text = SummaryText(summary);
  EXPECT_TRUE(text.starts_with(
      "\n4 of 9 images checked in 12.3 s: clean 1, leaks 1, corrupt 1, "
      "error 1.\n5 images are left for the next run: the time is up.\n"))
      << text;
  // The worst first; what is clean is not named.
  const size_t corrupt = text.find("\n  c: corrupt, ");
  const size_t error = text.find("\n  d: error\n");
  const size_t leaks = text.find("\n  b: leaks, 2 leaks\n");
  ASSERT_NE(leaks, std::string::npos) << text;
  EXPECT_LT(corrupt, error);
  EXPECT_LT(error, leaks);
  EXPECT_NE(text.find("; 12 images lie on it\n"), std::string::npos);
  EXPECT_EQ(text.find("\n  a: "), std::string::npos);
  EXPECT_NE(text.find("\nExit code 12: "), std::string::npos);
}

TEST(SummaryTest, ForPrograms) {
  const auto json = nlohmann::json::parse(
      SummaryJson(Sample(), JsonLayout::kOneLine))["summary"];
  EXPECT_EQ(json["end"], "time-budget");
  EXPECT_EQ(json["exit_code"], 12);
  EXPECT_EQ(json["images"]["found"], 9);
  EXPECT_EQ(json["images"]["left"], 5);
  EXPECT_EQ(json["by_status"]["leaks"], 1);
  EXPECT_EQ(json["damaged"].size(), 3u);
  EXPECT_EQ(json["damaged"][0]["overlays"], 12);
  const uint64_t clusters = json["counts"]["leaks"];
  EXPECT_EQ(json["counts"]["leaked_bytes"], clusters * 65536);
}

TEST(SummaryTest, OnlyTheWorstAreListed) {
  FleetSummary summary;
  for (int i = 0; i < 50; ++i) {
    AddToSummary(Named(LeakyReport(), "leaky" + std::to_string(i)), 0, summary);
  }
  AddToSummary(Named(CorruptReport(), "corrupt"), 0, summary);
  ASSERT_EQ(summary.damaged.size(), kMaxDamagedListed);
  EXPECT_EQ(summary.damaged[0].path, "corrupt");
  EXPECT_EQ(summary.damaged_omitted, 51 - kMaxDamagedListed);
  EXPECT_NE(SummaryText(summary).find("\n  and 31 more\n"), std::string::npos);
}

}  // namespace
}  // namespace qcow2::cli
