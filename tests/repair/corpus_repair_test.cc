// Repairs every image of the corpus and looks at what became of it: by our
// check, by qemu-img, and by what the guest reads beside what it read before
// the damage.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "checker/problems.h"
#include "engine/format/header.h"
#include "tests/corpus/corpus_case.h"
#include "tests/differential/qemu_img.h"
#include "tests/repair/corpus_patient.h"
#include "tests/repair/trial.h"

namespace qcow2::corpus {
namespace {

// What a repair may leave: damage whose row says that only salvage or nobody
// can mend it, entries that nothing explains, leaks that may be the rest of
// guest data and counts of what that may share, a snapshot's L1 table that does
// not go on where it should, and words about other files.
bool MayStay(const checker::Finding& finding, const repair::Plan& plan) {
  const checker::ProblemRow& row = RowOf(finding.problem);
  return row.repair_class != checker::RepairClass::kSafe ||
         row.action == checker::RepairAction::kMendEntry ||
         row.area == checker::Area::kOtherFile || finding.suspect_orphan ||
         (finding.problem == checker::Problem::kRefcountTooHigh &&
          plan.keeps_suspect_counts()) ||
         finding.problem == checker::Problem::kSnapshotL1TooSmall;
}

// The wrong bytes of `after` that were not wrong in `before`.
std::string NewlyWrong(const Outcome& before, const Outcome& after) {
  std::string text;
  for (const WrongRange& range : after.wrong) {
    uint64_t covered = 0;
    for (const WrongRange& known : before.wrong) {
      if (known.snapshot != range.snapshot) continue;
      const uint64_t begin = std::max(known.offset_bytes, range.offset_bytes);
      const uint64_t end = std::min(known.offset_bytes + known.length_bytes,
                                    range.offset_bytes + range.length_bytes);
      if (begin < end) covered += end - begin;
    }
    if (covered < range.length_bytes) {
      absl::StrAppend(&text, Describe(range), "\n");
    }
  }
  return text;
}

// The page as far as it is about the corpus.
std::string ReadPage() {
  std::ifstream in("docs/repair-against-qemu-img.md");
  const std::string page(std::istreambuf_iterator<char>(in), {});
  return page.substr(0, page.find("\n## Random damage\n"));
}

class CorpusRepairTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto admitted = CorpusPatient::Admit(GetParam());
    ASSERT_TRUE(admitted.ok()) << admitted.status();
    admitted_ = *std::move(admitted);
    ours_ = RepairByUs(patient(), repair::Mode::kAll);
  }

  const Patient& patient() const { return admitted_->patient(); }
  // The case as a row of the page's table.
  bool IsExplained() const {
    return ReadPage().find(absl::StrCat("| `", GetParam(), "` |")) !=
           std::string::npos;
  }
  // qemu-img opens an encrypted image only with its secret.
  bool IsEncrypted() const {
    return Header::Decode(ours_.image).crypt_method != kCryptNone;
  }

  void ExpectToBeProven();
  void ExpectOnlyLeftWhatMayStay();
  // No guest byte that read right before.
  void ExpectNothingToReadWrong();
  void ExpectSecondRepairToChangeNothing();
  // An image we call clean is clean to qemu-img and reads the same there.
  void ExpectQemuToAgree();
  void ExpectQemuNotToDoBetterUnexplained();

  std::unique_ptr<CorpusPatient> admitted_;
  OurOutcome ours_;
};

void CorpusRepairTest::ExpectToBeProven() {
  EXPECT_EQ(ours_.error, "");
  EXPECT_EQ(ours_.stopped, "");
}

void CorpusRepairTest::ExpectOnlyLeftWhatMayStay() {
  for (const checker::Finding& finding : ours_.report.problems) {
    if (finding.root_cause != finding.id) continue;
    EXPECT_TRUE(MayStay(finding, ours_.plan)) << DescribeFinding(finding);
  }
}

void CorpusRepairTest::ExpectNothingToReadWrong() {
  EXPECT_EQ(NewlyWrong(LeaveAlone(patient()), ours_), "");
}

void CorpusRepairTest::ExpectSecondRepairToChangeNothing() {
  Patient again = patient();
  again.image = ours_.image;
  const OurOutcome second = RepairByUs(again, repair::Mode::kAll);
  EXPECT_TRUE(second.plan.empty());
  EXPECT_TRUE(second.image == ours_.image);
}

void CorpusRepairTest::ExpectQemuToAgree() {
  if (!ours_.clean() || IsEncrypted()) return;
  const std::string path = WriteScratch(patient(), ours_.image);
  EXPECT_EQ(QemuExitCode(path), 0);
  for (const GuestDisk& disk :
       ReadGuestDisks(ours_.image, patient().data_file)) {
    Bytes bytes;
    const bool unreadable =
        std::any_of(disk.units.begin(), disk.units.end(), [](const auto& unit) {
          return unit.second.state == GuestUnit::State::kUnreadable;
        });
    if (unreadable || disk.has_backing || disk.size_bytes > uint64_t{1} << 30) {
      continue;
    }
    ASSERT_TRUE(QemuRead(path, disk.id, bytes)) << disk.name;
    EXPECT_EQ(FirstDifference(disk, bytes), "") << disk.name;
  }
  std::filesystem::remove(path);
}

void CorpusRepairTest::ExpectQemuNotToDoBetterUnexplained() {
  const Outcome qemu = RepairByQemu(patient());
  const bool better = (qemu.clean() && !ours_.clean()) ||
                      BytesIn(qemu.wrong) < BytesIn(ours_.wrong);
  EXPECT_EQ(better, IsExplained())
      << "by us: " << absl::StrJoin(ProblemsIn(ours_.report), ", ") << ", "
      << BytesIn(ours_.wrong) << " bytes wrong; by qemu-img: "
      << absl::StrJoin(ProblemsIn(qemu.report), ", ") << ", "
      << BytesIn(qemu.wrong) << " bytes wrong";
}

// One test a case: the repair is what takes time.
TEST_P(CorpusRepairTest, MendsWhatCanBeMended) {
  ExpectToBeProven();
  ExpectOnlyLeftWhatMayStay();
  ExpectNothingToReadWrong();
  ExpectSecondRepairToChangeNothing();
  if (!HaveQemuImg()) GTEST_SKIP() << "qemu-img is not installed";
  ExpectQemuToAgree();
  ExpectQemuNotToDoBetterUnexplained();
}

INSTANTIATE_TEST_SUITE_P(Corpus, CorpusRepairTest,
                         testing::ValuesIn(CaseNames()), [](const auto& info) {
                           return TestNameOf(info.param);
                         });

}  // namespace
}  // namespace qcow2::corpus
