// Damaged images of the corpus repaired while one sector after the other cannot
// be read: what is written is proven, is taken back to the byte, and is never
// called clean with something unread in it.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "checker/report.h"
#include "repair/repair.h"
#include "tests/corpus/corpus_case.h"
#include "tests/corpus/sectors_read.h"
#include "tests/repair/faulty_case_test.h"

namespace qcow2::corpus {
namespace {

using checker::CheckStatus;
using repair::Conclusion;
using repair::Mode;
using repair::RecoverRequest;
using repair::RepairImage;
using repair::RepairReport;
using repair::RepairRequest;
using repair::UndoImage;

class CorpusUnreadableTest : public FaultyCaseTest {
 protected:
  RepairReport Repair(Mode mode) const {
    RepairRequest request;
    request.options.check = InOneJob();
    request.options.mode = mode;
    return RepairImage("image", InMemory(request));
  }
  void ExpectAsItWas(uint64_t sector) const {
    EXPECT_TRUE(Contents() == case_->image()) << sector;
  }

  // Repairs with the sector bad, and takes the repair back.
  void RepairWithBad(uint64_t sector, Mode mode) {
    Restore();
    faulty_->FailReadsIn({sector, kSectorBytes});
    const RepairReport report = Repair(mode);
    EXPECT_NE(report.transaction.conclusion, Conclusion::kPending) << sector;
    if (!ChangedImage(report.transaction)) return ExpectAsItWas(sector);
    // What could not be read may be written anew, and is read by then.
    const bool unread = report.after.counts.unreadable_bytes > 0;
    EXPECT_FALSE(unread && report.after.status == CheckStatus::kClean)
        << sector;
    faulty_->Heal();
    RecoverRequest undo;
    undo.check = InOneJob();
    const RepairReport undone = UndoImage("image", InMemory(undo));
    EXPECT_EQ(undone.transaction.conclusion, Conclusion::kCommitted)
        << sector << ": " << undone.transaction.error;
    ExpectAsItWas(sector);
  }
};

TEST_P(CorpusUnreadableTest, WhatIsWrittenIsTakenBack) {
  for (const uint64_t sector : SectorsRead(*case_)) {
    for (const Mode mode : {Mode::kAll, Mode::kSalvage}) {
      RepairWithBad(sector, mode);
      if (HasFailure()) return;
    }
  }
}

// Damaged images that are small enough to be repaired over and over.
std::vector<std::string> SmallDamagedCases() {
  constexpr size_t kSmall = size_t{128} << 10;
  std::vector<std::string> small;
  for (const std::string& name : CaseNames()) {
    if (name.starts_with("healthy-")) continue;
    const auto unpacked = UnpackedCase::Unpack(name);
    if (unpacked.ok() && (*unpacked)->image().size() <= kSmall) {
      small.push_back(name);
    }
  }
  return small;
}

INSTANTIATE_TEST_SUITE_P(Corpus, CorpusUnreadableTest,
                         testing::ValuesIn(SmallDamagedCases()),
                         [](const auto& info) {
                           return TestNameOf(info.param);
                         });

}  // namespace
}  // namespace qcow2::corpus
