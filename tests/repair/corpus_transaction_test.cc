// Every image of the corpus repaired where it lies: a dry run leaves the file
// alone, a repair makes of it what its plan said, an undo brings every byte
// back, and giving freed space back harms nothing.
#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "checker/report.h"
#include "repair/discard_freed.h"
#include "repair/repair.h"
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

checker::CheckOptions OneJob() {
  checker::CheckOptions options;
  options.jobs = 1;
  return options;
}

class CorpusTransactionTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto unpacked = UnpackedCase::Unpack(GetParam());
    ASSERT_TRUE(unpacked.ok()) << unpacked.status();
    case_ = *std::move(unpacked);
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
    request.options.check = case_->Complete(OneJob());
    request.options.mode = mode;
    request.options.free_suspects = mode == Mode::kSalvage;
    return request;
  }
  RecoverRequest UndoRequest() const {
    RecoverRequest request;
    request.check = case_->Complete(OneJob());
    return request;
  }
  void ExpectAsItWas() const {
    EXPECT_TRUE(Image() == case_->image());
    EXPECT_EQ(Files(), files_);
  }
  // That the file is what the report says.
  void ExpectAsReported(const checker::CheckReport& reported) const {
    const auto now = case_->Check(OneJob());
    ASSERT_TRUE(now.ok()) << now.status();
    EXPECT_EQ(now->status, reported.status);
    EXPECT_EQ(now->counts.corruptions, reported.counts.corruptions);
    EXPECT_EQ(now->counts.leaks, reported.counts.leaks);
  }

  std::unique_ptr<UnpackedCase> case_;
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
  const auto before = case_->Check(OneJob());
  ASSERT_TRUE(before.ok()) << before.status();
  if (ChangedImage(salvaged.transaction)) ExpectAsReported(salvaged.after);

  DiscardRequest discard;
  discard.check = case_->Complete(OneJob());
  const RepairReport given_back = DiscardFreed(path(), discard);
  const auto after = case_->Check(OneJob());
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->status, before->status);
  EXPECT_EQ(Image().size(), repaired.size());
  if (before->status != checker::CheckStatus::kClean) {
    EXPECT_EQ(given_back.transaction.conclusion, Conclusion::kNotStarted);
    EXPECT_TRUE(Image() == repaired);
  }
}

INSTANTIATE_TEST_SUITE_P(Corpus, CorpusTransactionTest,
                         testing::ValuesIn(CaseNames()), [](const auto& info) {
                           return TestNameOf(info.param);
                         });

}  // namespace
}  // namespace qcow2::corpus
