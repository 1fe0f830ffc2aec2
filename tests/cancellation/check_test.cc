// A check that is cancelled at any of its reads says so, and never that an
// image is sound.
#include "checker/check.h"

#include <gtest/gtest.h>

#include "cli/exit_code.h"
#include "engine/storage/memory_file.h"
#include "tests/cancellation/cancelled_file.h"
#include "tests/corpus/case_test.h"
#include "tests/corpus/corpus_case.h"

namespace qcow2 {
namespace {

using checker::CheckReport;
using checker::CheckStatus;

class CancelCheckTest : public corpus::CaseTest {
 protected:
  CheckReport Check(CancelPoint& point, unsigned jobs) const {
    MemoryFile memory(case_->image());
    const CancelledFile file(memory, point);
    checker::CheckOptions options = case_->Complete({});
    options.jobs = jobs;
    options.cancel = point.flag();
    return checker::CheckImage(file, case_->image_path(), options);
  }
};

void ExpectSame(const CheckReport& report, const CheckReport& whole) {
  EXPECT_EQ(report.status, whole.status);
  EXPECT_EQ(report.counts.corruptions, whole.counts.corruptions);
  EXPECT_EQ(report.counts.leaks, whole.counts.leaks);
  EXPECT_EQ(report.counts.warnings, whole.counts.warnings);
  EXPECT_EQ(report.problems.size(), whole.problems.size());
  EXPECT_EQ(report.errors, whole.errors);
}

void ExpectNoVerdict(const CheckReport& report) {
  EXPECT_NE(report.status, CheckStatus::kClean);
  EXPECT_NE(report.status, CheckStatus::kLeaks);
  EXPECT_NE(cli::ExitCodeOf(report) & cli::kExitCancelled, 0);
}

TEST_P(CancelCheckTest, AtEveryRead) {
  for (const unsigned jobs : {1u, 3u}) {
    CancelPoint never(0);
    const CheckReport whole = Check(never, jobs);
    ASSERT_FALSE(whole.cancelled);
    ASSERT_GT(never.passed(), 2u);
    uint64_t cancelled = 0;
    for (uint64_t at = 1; at <= never.passed(); ++at) {
      SCOPED_TRACE(testing::Message() << "read " << at << " of "
                                      << never.passed() << ", jobs " << jobs);
      CancelPoint point(at);
      const CheckReport report = Check(point, jobs);
      // What is read last may be all that was left to do.
      if (report.cancelled) {
        ExpectNoVerdict(report);
        ++cancelled;
      } else {
        ExpectSame(report, whole);
      }
    }
    EXPECT_GT(cancelled, 0u) << never.passed();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Corpus, CancelCheckTest,
    testing::Values("healthy-v3", "healthy-snapshot", "healthy-bitmap",
                    "healthy-compressed-deflate", "healthy-luks",
                    "cluster-leaked", "refcount-too-low", "bitmap-in-use",
                    "compressed-undecodable", "backing-damaged"),
    [](const auto& param) { return corpus::TestNameOf(param.param); });

}  // namespace
}  // namespace qcow2
