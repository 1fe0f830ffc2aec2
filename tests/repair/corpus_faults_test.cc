// Images of the corpus repaired while their storage fails, at one write or
// flush after the other, for once or for good: the image is as it was or as
// planned, or a journal is pending that brings it there. And what users do
// around a repair that is pending or another program's.
#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checker/report.h"
#include "engine/storage/faulty_file.h"
#include "engine/storage/posix_file.h"
#include "repair/discard_freed.h"
#include "repair/repair.h"
#include "tests/corpus/corpus_case.h"
#include "tests/repair/faulty_case_test.h"

namespace qcow2::corpus {
namespace {

using repair::Conclusion;
using repair::DiscardFreed;
using repair::DiscardRequest;
using repair::JournalState;
using repair::RecoverImage;
using repair::RecoverRequest;
using repair::RepairImage;
using repair::RepairReport;
using repair::RepairRequest;
using repair::UndoImage;
using Bytes = std::vector<std::byte>;

class CorpusFaultsTest : public FaultyCaseTest {
 protected:
  RepairReport Repair(bool dry_run = false) const {
    RepairRequest request;
    request.options.check = InOneJob();
    request.dry_run = dry_run;
    return RepairImage("image", InMemory(request));
  }
  RecoverRequest RecoveryRequest() const {
    RecoverRequest request;
    request.check = InOneJob();
    return InMemory(request);
  }

  // What a repair makes of the image; nothing if it is not to be had where the
  // file cannot grow.
  std::optional<Bytes> Repaired() {
    const RepairReport report = Repair();
    if (report.transaction.conclusion != Conclusion::kCommitted) return {};
    const Bytes repaired = Contents();
    Restore();
    return repaired;
  }

  // While a journal is pending nothing else is begun.
  void ExpectOthersWait() {
    const Bytes before = Contents();
    const RepairReport planned = Repair(/*dry_run=*/true);
    EXPECT_EQ(planned.transaction.conclusion, Conclusion::kNotStarted);
    EXPECT_TRUE(absl::IsFailedPrecondition(planned.transaction.error))
        << planned.transaction.error;
    DiscardRequest discard;
    discard.check = InOneJob();
    EXPECT_EQ(DiscardFreed("image", InMemory(discard)).transaction.conclusion,
              Conclusion::kNotStarted);
    EXPECT_TRUE(Contents() == before);
  }

  // The one or the other, as the report says, and nothing is left to do.
  void ExpectOldOrNew(bool is_new, const RepairReport& report,
                      const Bytes& repaired) {
    EXPECT_TRUE(Contents() == (is_new ? repaired : case_->image()))
        << NameOf(report.transaction.conclusion) << ": "
        << report.transaction.error;
    EXPECT_FALSE(std::filesystem::exists(InFolder("journal")));
  }

  // Lets the repair meet `fault`; false if it did not come to it.
  bool TryWith(const Fault& fault, const Bytes& repaired) {
    Restore();
    faulty_->FailOn(fault);
    const RepairReport report = Repair();
    if (faulty_->failures() == 0) return false;
    if (report.transaction.conclusion != Conclusion::kPending) {
      ExpectOldOrNew(report.transaction.conclusion == Conclusion::kCommitted,
                     report, repaired);
      return true;
    }
    EXPECT_FALSE(report.transaction.error.ok());
    EXPECT_TRUE(std::filesystem::exists(InFolder("journal")));
    faulty_->Heal();
    ExpectOthersWait();
    const RepairReport recovered = RecoverImage("image", RecoveryRequest());
    EXPECT_EQ(recovered.transaction.conclusion, Conclusion::kCommitted);
    // What could not be put back by then is put back now.
    const auto& found = recovered.transaction.recovered;
    EXPECT_TRUE(found.has_value());
    ExpectOldOrNew(!found || found->found != JournalState::kUndoing, recovered,
                   repaired);
    EXPECT_EQ(RecoverImage("image", RecoveryRequest()).transaction.conclusion,
              Conclusion::kNothingToDo);
    return true;
  }
};

TEST_P(CorpusFaultsTest, AnyWriteOrFlushThatFailsLeavesTheOldOrTheNew) {
  const std::optional<Bytes> repaired = Repaired();
  ASSERT_TRUE(repaired.has_value());
  int met = 0;
  for (const FileOperation operation :
       {FileOperation::kPwrite, FileOperation::kFlush}) {
    for (const bool for_good : {false, true}) {
      Fault fault{.operation = operation, .for_good = for_good};
      while (TryWith(fault, *repaired) && !HasFatalFailure()) {
        ++fault.skip;
        ++met;
      }
    }
  }
  EXPECT_GT(met, 2);
}

// The next repair finishes what is pending, and then does its own.
TEST_P(CorpusFaultsTest, TheNextRepairFinishesWhatIsPending) {
  const std::optional<Bytes> repaired = Repaired();
  ASSERT_TRUE(repaired.has_value());
  faulty_->FailOn({.operation = FileOperation::kPwrite, .for_good = true});
  ASSERT_EQ(Repair().transaction.conclusion, Conclusion::kPending);
  faulty_->Heal();
  const RepairReport report = Repair();
  ASSERT_TRUE(report.transaction.recovered.has_value());
  EXPECT_EQ(NameOf(report.transaction.recovered->found), "undoing");
  EXPECT_EQ(NameOf(report.transaction.conclusion), "committed");
  EXPECT_TRUE(Contents() == *repaired);
  EXPECT_EQ(UndoImage("image", RecoveryRequest()).transaction.conclusion,
            Conclusion::kCommitted);
  EXPECT_TRUE(Contents() == case_->image());
}

TEST_P(CorpusFaultsTest, AnOlderUndoFileIsKept) {
  ASSERT_EQ(Repair().transaction.conclusion, Conclusion::kCommitted);
  // The damage again, as of an image that was put in the place of this one.
  const Bytes damaged = case_->image();
  ASSERT_TRUE(memory_->Truncate(damaged.size()).ok());
  ASSERT_TRUE(memory_->Pwrite(0, damaged).ok());
  const RepairReport again = Repair();
  EXPECT_EQ(again.transaction.conclusion, Conclusion::kCommitted);
  EXPECT_EQ(again.transaction.older_undo_path, InFolder("undo.1"));
  EXPECT_TRUE(std::filesystem::exists(InFolder("undo.1")));
  EXPECT_TRUE(std::filesystem::exists(InFolder("undo")));
}

TEST_P(CorpusFaultsTest, WithoutAPlaceForTheJournalNothingIsBegun) {
  RepairRequest request;
  request.options.check = InOneJob();
  request = InMemory(request);
  request.paths = {};
  EXPECT_EQ(RepairImage("image", request).transaction.conclusion,
            Conclusion::kNotStarted);
  request.paths = {InFolder("journal"), "/undo"};
  const RepairReport apart = RepairImage("image", request);
  EXPECT_EQ(apart.transaction.conclusion, Conclusion::kNotStarted);
  EXPECT_TRUE(absl::IsInvalidArgument(apart.transaction.error))
      << apart.transaction.error;
  EXPECT_TRUE(Contents() == case_->image());
}

TEST_P(CorpusFaultsTest, ACancelledRepairHasChangedNothing) {
  const std::atomic<bool> cancel(true);
  RepairRequest request;
  request.options.check = InOneJob();
  request.options.check.cancel = &cancel;
  const RepairReport report = RepairImage("image", InMemory(request));
  EXPECT_EQ(NameOf(report.transaction.conclusion), "cancelled");
  EXPECT_TRUE(Contents() == case_->image());
  EXPECT_FALSE(std::filesystem::exists(InFolder("journal")));
}

TEST_P(CorpusFaultsTest, AnImageThatIsInUseIsLeftAlone) {
  OpenOptions options;
  options.writable = true;
  const auto other = PosixFile::Open(case_->image_path(), options);
  ASSERT_TRUE(other.ok()) << other.status();
  ASSERT_TRUE((*other)->Lock(kWriterLocks).ok());
  RepairRequest request;
  request.options.check = InOneJob();
  const RepairReport report = RepairImage(case_->image_path(), request);
  EXPECT_EQ(NameOf(report.transaction.conclusion), "not-started");
  EXPECT_TRUE(absl::IsUnavailable(report.transaction.error))
      << report.transaction.error;
  const auto now = case_->ReadBack();
  ASSERT_TRUE(now.ok());
  EXPECT_TRUE(*now == case_->image());
}

// Damage of each part of an image, that is mended where it lies.
INSTANTIATE_TEST_SUITE_P(
    Corpus, CorpusFaultsTest,
    testing::Values("cluster-leaked", "l1-copied-wrong", "l2-entry-reserved",
                    "refcount-too-high", "refcount-too-low"),
    [](const auto& info) { return TestNameOf(info.param); });

}  // namespace
}  // namespace qcow2::corpus
