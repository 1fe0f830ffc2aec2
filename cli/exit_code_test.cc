#include "cli/exit_code.h"

#include "cli/sample_reports.h"
#include "gtest/gtest.h"

namespace qcow2::cli {
namespace {

TEST(ExitCodeTest, FollowsTheReport) {
  EXPECT_EQ(ExitCodeOf(CleanReport()), 0);
  EXPECT_EQ(ExitCodeOf(LeakyReport()), 4);
  EXPECT_EQ(ExitCodeOf(CorruptReport()), 4);
  EXPECT_EQ(ExitCodeOf(UnopenedReport()), 8);
}

TEST(ExitCodeTest, WhatWasNotReadAddsToWhatWasFound) {
  checker::CheckReport report = CorruptReport();
  report.status = checker::CheckStatus::kInconclusive;
  EXPECT_EQ(ExitCodeOf(report), 12);
  report.counts = {};
  EXPECT_EQ(ExitCodeOf(report), 8);
}

TEST(ExitCodeTest, ACorruptImageMayAlsoHaveBeenReadInPartOnly) {
  checker::CheckReport report = CorruptReport();
  report.counts.unreadable_bytes = 512;
  EXPECT_EQ(ExitCodeOf(report), 12);
  report = CorruptReport();
  report.errors = {"cannot read"};
  EXPECT_EQ(ExitCodeOf(report), 12);
}

TEST(ExitCodeTest, WarningsAreNoErrors) {
  checker::CheckReport report = CleanReport();
  report.counts.warnings = 3;
  report.counts.notes = 1;
  EXPECT_EQ(ExitCodeOf(report), 0);
}

TEST(ExitCodeTest, ACancelledCheckGivesNoVerdict) {
  checker::CheckReport report = CorruptReport();
  report.cancelled = true;
  EXPECT_EQ(ExitCodeOf(report), 32);
}

TEST(ExitCodeTest, ARepairAddsWhatBecameOfIt) {
  EXPECT_EQ(ExitCodeOf(RepairedReport()), 5);
  ImageReport all = RepairedReport();
  all.after = CleanReport();
  EXPECT_EQ(ExitCodeOf(all), 1);
  EXPECT_EQ(ExitCodeOf(PlannedReport()), 4);
  EXPECT_EQ(ExitCodeOf(NotProvenReport()), 12);
  EXPECT_EQ(ExitCodeOf(PendingReport()), 12);
  EXPECT_EQ(ExitCodeOf(UndoneReport()), 4);
  EXPECT_EQ(ExitCodeOf(RecoveredReport()), 1);
  EXPECT_EQ(ExitCodeOf(DiscardedReport()), 0);
  ImageReport refused = DiscardedReport();
  refused.transaction->conclusion = repair::Conclusion::kNotStarted;
  refused.transaction->error = absl::FailedPreconditionError("an undo file");
  EXPECT_EQ(ExitCodeOf(refused), 8);
  refused.found = LeakyReport();
  EXPECT_EQ(ExitCodeOf(refused), 4);
  ImageReport cancelled = PlannedReport();
  cancelled.transaction->conclusion = repair::Conclusion::kCancelled;
  EXPECT_EQ(ExitCodeOf(cancelled), 32);
}

TEST(ExitCodeTest, EveryBitIsDescribed) {
  EXPECT_EQ(DescribeExitCode(0), "nothing is wrong");
  EXPECT_EQ(DescribeExitCode(12),
            "errors or leaks are left in an image; something could not be "
            "opened, read or written");
  EXPECT_EQ(DescribeExitCode(32), "the run was cancelled");
}

}  // namespace
}  // namespace qcow2::cli
