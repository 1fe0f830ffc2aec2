// Every image of the corpus repaired where it lies: a dry run leaves the file
// alone, a repair makes of it what its plan said, an undo brings every byte
// back, and giving freed space back harms nothing.
#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <tuple>
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

class CorpusTransactionTest
    : public testing::TestWithParam<std::tuple<std::string, Mode>> {
 protected:
  void SetUp() override {
    auto unpacked = UnpackedCase::Unpack(std::get<0>(GetParam()));
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
  RepairRequest Request() const {
    RepairRequest request;
    request.options.check = case_->Complete({});
    request.options.mode = std::get<1>(GetParam());
    request.options.free_suspects = request.options.mode == Mode::kSalvage;
    return request;
  }
  RecoverRequest UndoRequest() const {
    RecoverRequest request;
    request.check = case_->Complete({});
    return request;
  }
  void ExpectAsItWas() const {
    EXPECT_TRUE(Image() == case_->image());
    EXPECT_EQ(Files(), files_);
  }
  // That the file is what the report says.
  void ExpectAsReported(const checker::CheckReport& reported) const {
    const auto now = case_->Check({});
    ASSERT_TRUE(now.ok()) << now.status();
    EXPECT_EQ(now->status, reported.status);
    EXPECT_EQ(now->counts.corruptions, reported.counts.corruptions);
    EXPECT_EQ(now->counts.leaks, reported.counts.leaks);
  }

  std::unique_ptr<UnpackedCase> case_;
  std::set<std::string> files_;
};

TEST_P(CorpusTransactionTest, ADryRunChangesNothing) {
  RepairRequest request = Request();
  request.dry_run = true;
  const RepairReport report = RepairImage(path(), request);
  EXPECT_FALSE(ChangedImage(report.transaction));
  EXPECT_NE(report.transaction.conclusion, Conclusion::kNotProven);
  ExpectAsItWas();
}

TEST_P(CorpusTransactionTest, ARepairIsAsReportedAndIsTakenBack) {
  const RepairReport repaired = RepairImage(path(), Request());
  const Conclusion conclusion = repaired.transaction.conclusion;
  if (conclusion != Conclusion::kCommitted) {
    EXPECT_TRUE(conclusion == Conclusion::kNothingToDo ||
                conclusion == Conclusion::kNotStarted)
        << NameOf(conclusion) << ": " << repaired.transaction.error;
    ExpectAsItWas();
    return;
  }
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
  RepairRequest request = Request();
  request.keep_undo = false;
  RepairImage(path(), request);
  const Bytes repaired = Image();
  const auto before = case_->Check({});
  ASSERT_TRUE(before.ok()) << before.status();

  DiscardRequest discard;
  discard.check = case_->Complete({});
  const RepairReport given_back = DiscardFreed(path(), discard);
  const auto after = case_->Check({});
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->status, before->status);
  EXPECT_EQ(Image().size(), repaired.size());
  if (before->status != checker::CheckStatus::kClean) {
    EXPECT_EQ(given_back.transaction.conclusion, Conclusion::kNotStarted);
    EXPECT_TRUE(Image() == repaired);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Corpus, CorpusTransactionTest,
    testing::Combine(testing::ValuesIn(CaseNames()),
                     testing::Values(Mode::kAll, Mode::kSalvage)),
    [](const auto& info) {
      return TestNameOf(std::get<0>(info.param)) +
             (std::get<1>(info.param) == Mode::kAll ? "" : "_salvage");
    });

}  // namespace
}  // namespace qcow2::corpus
