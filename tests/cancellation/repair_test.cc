// A repair that is cancelled at any of its operations on the image has changed
// nothing, or all that it planned.
#include "repair/repair.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/storage/memory_file.h"
#include "tests/cancellation/cancelled_file.h"
#include "tests/corpus/case_test.h"
#include "tests/corpus/corpus_case.h"

namespace qcow2 {
namespace {

using repair::Conclusion;
using repair::RepairReport;
using Bytes = std::vector<std::byte>;

class CancelRepairTest : public corpus::CaseTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(CaseTest::SetUp());
    folder_ = InFolder("journal");
    std::filesystem::create_directory(folder_);
  }

  struct Outcome {
    RepairReport report;
    Bytes image;
    bool left_files = false;
  };

  Outcome Repair(CancelPoint& point, bool dry_run) const {
    MemoryFile memory(case_->image());
    repair::RepairRequest request;
    request.options.check = case_->Complete({});
    request.options.check.jobs = 1;
    request.options.check.cancel = point.flag();
    request.dry_run = dry_run;
    request.keep_undo = false;
    request.paths.journal = folder_ + "/journal";
    // So that the image can be what this test hands in.
    request.open_remote = [&](bool) -> absl::StatusOr<std::unique_ptr<File>> {
      return std::make_unique<CancelledFile>(memory, point);
    };
    RepairReport report = RepairImage(case_->image_path(), request);
    const auto bytes = memory.bytes();
    return {std::move(report), Bytes(bytes.begin(), bytes.end()),
            !std::filesystem::is_empty(folder_)};
  }

  void ExpectAllOrNothing(const Outcome& outcome, const Outcome& whole) const {
    const Conclusion conclusion = outcome.report.transaction.conclusion;
    EXPECT_FALSE(outcome.left_files);
    if (conclusion == Conclusion::kCancelled) {
      EXPECT_EQ(outcome.image, case_->image());
      EXPECT_FALSE(outcome.report.transaction.commit.has_value());
    } else {
      EXPECT_EQ(conclusion, whole.report.transaction.conclusion);
      EXPECT_EQ(outcome.image, whole.image);
    }
  }

  void CancelAtEvery(bool dry_run, Conclusion expected) const {
    CancelPoint never(0);
    const Outcome whole = Repair(never, dry_run);
    ASSERT_EQ(whole.report.transaction.conclusion, expected)
        << whole.report.transaction.error;
    ASSERT_EQ(whole.image == case_->image(), dry_run);
    uint64_t cancelled = 0;
    for (uint64_t at = 1; at <= never.passed(); ++at) {
      SCOPED_TRACE(testing::Message()
                   << "operation " << at << " of " << never.passed());
      CancelPoint point(at);
      const Outcome outcome = Repair(point, dry_run);
      ExpectAllOrNothing(outcome, whole);
      cancelled +=
          outcome.report.transaction.conclusion == Conclusion::kCancelled;
    }
    EXPECT_GT(cancelled, 0u);
  }

  std::string folder_;
};

TEST_P(CancelRepairTest, AtEveryOperationOfARepair) {
  CancelAtEvery(false, Conclusion::kCommitted);
}

TEST_P(CancelRepairTest, AtEveryOperationOfADryRun) {
  CancelAtEvery(true, Conclusion::kPlanned);
}

INSTANTIATE_TEST_SUITE_P(
    Corpus, CancelRepairTest,
    testing::Values("cluster-leaked", "refcount-too-low", "l2-entry-reserved",
                    "refcount-too-low-metadata", "l2-table-referenced-twice"),
    [](const auto& param) { return corpus::TestNameOf(param.param); });

}  // namespace
}  // namespace qcow2
