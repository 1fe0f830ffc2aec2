// Every image of the corpus repaired where it lies: a dry run leaves the file
// alone, a repair makes of it what its plan said, an undo brings every byte
// back, and giving freed space back harms nothing.
#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "checker/report.h"
#include "repair/discard_freed.h"
#include "repair/repair.h"
#include "tests/corpus/case_test.h"
#include "tests/corpus/corpus_case.h"

namespace qcow2::corpus {
namespace {

using repair::Conclusion;
using repair::DiscardFreed;
using repair::DiscardRequest;
using repair::Mode;
using repair::RecoverRequest;
using repair::RepairImage;
using repair::RepairReport;
using repair::RepairRequest;
using repair::UndoImage;
using Bytes = std::vector<std::byte>;

class CorpusTransactionTest : public CaseTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(CaseTest::SetUp());
    files_ = Files();
  }

  const std::string& path() const { return case_->image_path(); }
  Bytes Image() const {
    auto bytes = case_->ReadBack();
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    return *std::move(bytes);
  }
  std::set<std::string> Files() const {
    std::set<std::string> names;
    for (const auto& entry :
         std::filesystem::directory_iterator(case_->directory())) {
      names.insert(entry.path().filename());
    }
    return names;
  }
  RepairRequest Request(Mode mode) const {
    RepairRequest request;
    request.options.check = InOneJob();
    request.options.mode = mode;
    if (mode == Mode::kSalvage) {
      request.options.free_suspects = true;
      // By their IDs, those that cannot be read.
      request.options.drop_snapshots = {"1", "2"};
    }
    return request;
  }
  RecoverRequest UndoRequest() const {
    RecoverRequest request;
    request.check = InOneJob();
    return request;
  }
  void ExpectAsItWas() const {
    EXPECT_TRUE(Image() == case_->image());
    EXPECT_EQ(Files(), files_);
  }
  // That the file is what the report says.
  void ExpectAsReported(const checker::CheckReport& reported) const {
    const auto now = case_->Check(InOneJob());
    ASSERT_TRUE(now.ok()) << now.status();
    EXPECT_EQ(now->status, reported.status);
    EXPECT_EQ(now->counts.corruptions, reported.counts.corruptions);
    EXPECT_EQ(now->counts.leaks, reported.counts.leaks);
  }

  std::set<std::string> files_;
};

TEST_P(CorpusTransactionTest, ARepairIsAsReportedAndIsTakenBack) {
  RepairRequest request = Request(Mode::kAll);
  request.dry_run = true;
  const RepairReport planned = RepairImage(path(), request);
  EXPECT_FALSE(ChangedImage(planned.transaction));
  EXPECT_NE(planned.transaction.conclusion, Conclusion::kNotProven);
  ExpectAsItWas();

  request.dry_run = false;
  const RepairReport repaired = RepairImage(path(), request);
  const Conclusion conclusion = repaired.transaction.conclusion;
  if (planned.transaction.conclusion != Conclusion::kPlanned) {
    EXPECT_EQ(conclusion, planned.transaction.conclusion);
    ExpectAsItWas();
    return;
  }
  EXPECT_EQ(conclusion, Conclusion::kCommitted) << repaired.transaction.error;
  EXPECT_GT(repaired.transaction.fixed, 0u);
  EXPECT_FALSE(Image() == case_->image());
  ExpectAsReported(repaired.after);

  const RepairReport undone = UndoImage(path(), UndoRequest());
  EXPECT_EQ(undone.transaction.conclusion, Conclusion::kCommitted)
      << undone.transaction.error;
  ExpectAsItWas();
  EXPECT_EQ(UndoImage(path(), UndoRequest()).transaction.conclusion,
            Conclusion::kNotStarted);
}

TEST_P(CorpusTransactionTest, WhatIsCleanStaysSoWithoutItsFreeSpace) {
  RepairRequest request = Request(Mode::kSalvage);
  request.keep_undo = false;
  const RepairReport salvaged = RepairImage(path(), request);
  const Bytes repaired = Image();
  const auto before = case_->Check(InOneJob());
  ASSERT_TRUE(before.ok()) << before.status();
  if (ChangedImage(salvaged.transaction)) ExpectAsReported(salvaged.after);

  DiscardRequest discard;
  discard.check = InOneJob();
  const RepairReport given_back = DiscardFreed(path(), discard);
  const auto after = case_->Check(InOneJob());
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->status, before->status);
  EXPECT_EQ(Image().size(), repaired.size());
  if (before->status != checker::CheckStatus::kClean) {
    EXPECT_EQ(given_back.transaction.conclusion, Conclusion::kNotStarted);
    EXPECT_TRUE(Image() == repaired);
  }
}

// A repair of leaks finds as much damage afterwards, and no leak it may free.
TEST_P(CorpusTransactionTest, ARepairOfLeaksLeavesTheRest) {
  const RepairReport report = RepairImage(path(), Request(Mode::kLeaks));
  const auto& before = report.before.counts;
  const auto& after = report.after.counts;
  if (!ChangedImage(report.transaction)) {
    ExpectAsItWas();
    return;
  }
  ExpectAsReported(report.after);
  EXPECT_LT(after.leaks, before.leaks);
  EXPECT_LE(after.corruptions, before.corruptions);
  for (const auto& left : report.transaction.left) {
    EXPECT_FALSE(left.why.empty());
  }
  const RepairReport undone = UndoImage(path(), UndoRequest());
  EXPECT_EQ(undone.transaction.conclusion, Conclusion::kCommitted);
  ExpectAsItWas();
}

INSTANTIATE_TEST_SUITE_P(Corpus, CorpusTransactionTest,
                         testing::ValuesIn(CaseNames()), [](const auto& info) {
                           return TestNameOf(info.param);
                         });

}  // namespace
}  // namespace qcow2::corpus
