// The problems that no image file can show, because they are errors of reading
// it: healthy images of the corpus on a storage with a bad spot.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "checker/check.h"
#include "checker/ownership_map.h"
#include "engine/storage/faulty_file.h"
#include "engine/storage/memory_file.h"
#include "tests/corpus/case_test.h"
#include "tests/corpus/corpus_case.h"
#include "tests/corpus/expectation.h"
#include "tests/corpus/sectors_read.h"

namespace qcow2::corpus {
namespace {

using checker::CheckReport;
using checker::CheckStatus;

// The places of both images.
constexpr uint64_t kCluster = 0x1000;
constexpr uint64_t kRefcountBlock = 0x2000;
constexpr uint64_t kL2Table = 0x4000;

// Where a sector cannot be read, in an image with 4 KiB clusters, and the
// problem it is.
struct BadSpot {
  std::string code;
  std::string case_name;
  uint64_t offset;
  std::string still_found;  // when something else is wrong, too
};

void PrintTo(const BadSpot& spot, std::ostream* out) { *out << spot.code; }

// healthy-v3 has its refcount table in cluster 1, the block in 2, the L1 table
// in 3, L2 tables in 4 and 7. The snapshot of healthy-snapshot has its L1 table
// in cluster 7, the snapshot table is in 8.
const BadSpot kBadSpots[] = {
    {"range-unreadable", "healthy-v3", 0x1000, "l2-entry-reserved"},
    {"refcount-block-unreadable", "healthy-v3", 0x2000, "l2-entry-reserved"},
    {"l1-table-unreadable", "healthy-v3", 0x3000, "cluster-leaked"},
    {"l2-table-unreadable", "healthy-v3", 0x7000, "l2-entry-reserved"},
    {"snapshot-unparseable", "healthy-snapshot", 0x8000, "cluster-leaked"},
};

class UnreadableTest : public testing::TestWithParam<BadSpot> {
 protected:
  void SetUp() override {
    auto unpacked = UnpackedCase::Unpack(GetParam().case_name);
    ASSERT_TRUE(unpacked.ok()) << unpacked.status();
    image_ = (*unpacked)->image();
  }

  CheckReport CheckWithBadSpot() const {
    MemoryFile memory(image_);
    FaultyFile file(memory);
    file.FailReadsIn({GetParam().offset, kSectorBytes});
    CheckReport report = checker::CheckImage(file, "bad spot", {});
    EXPECT_GT(file.failures(), 0u);
    return report;
  }

  std::vector<std::byte> image_;
};

TEST_P(UnreadableTest, IsReportedAndNeverCalledClean) {
  const CheckReport report = CheckWithBadSpot();
  EXPECT_TRUE(CodesIn(report).contains(GetParam().code))
      << testing::PrintToString(CodesIn(report));
  EXPECT_NE(report.status, CheckStatus::kClean);
  EXPECT_NE(report.status, CheckStatus::kLeaks);
  EXPECT_GT(report.counts.unreadable_bytes, 0u);
}

// Two things are wrong besides, one of which has to do with what is unreadable:
// a leaked cluster at the end and a reserved bit in the first L2 table.
TEST_P(UnreadableTest, DoesNotHideTheRest) {
  const uint64_t leaked = (image_.size() + kCluster - 1) / kCluster;
  image_.resize((leaked + 1) * kCluster);
  image_[kRefcountBlock + 2 * leaked + 1] = std::byte{1};
  image_[kL2Table] |= std::byte{1};
  const CheckReport report = CheckWithBadSpot();
  const std::set<std::string> codes = CodesIn(report);
  EXPECT_TRUE(codes.contains(GetParam().code));
  EXPECT_TRUE(codes.contains(GetParam().still_found))
      << testing::PrintToString(codes);
  EXPECT_NE(report.status, CheckStatus::kClean);
  EXPECT_NE(report.status, CheckStatus::kLeaks);
}

INSTANTIATE_TEST_SUITE_P(Corpus, UnreadableTest, testing::ValuesIn(kBadSpots),
                         [](const auto& info) {
                           return TestNameOf(info.param.code);
                         });

// Sound images of the corpus that are small enough to be checked over and over.
std::vector<std::string> SmallSoundCases() {
  constexpr size_t kSmall = size_t{1} << 20;
  std::vector<std::string> small;
  for (const std::string& name : CaseNames()) {
    if (!name.starts_with("healthy-")) continue;
    const auto unpacked = UnpackedCase::Unpack(name);
    if (unpacked.ok() && (*unpacked)->image().size() <= kSmall) {
      small.push_back(name);
    }
  }
  return small;
}

using EverySectorTest = CaseTest;

// One after the other is bad: an image is sound if nothing of what was asked
// for failed, and only then. So it is while a picture is drawn.
TEST_P(EverySectorTest, OfMetadataThatIsBadIsToldOf) {
  uint64_t asked_for = 0;
  for (const uint64_t sector : SectorsRead(*case_)) {
    MemoryFile memory(case_->image());
    FaultyFile file(memory);
    file.FailReadsIn({sector, kSectorBytes});
    checker::OwnershipMap map;
    checker::CheckOptions options = case_->Complete(checker::CheckOptions());
    options.deep = true;
    options.ownership = &map;
    const CheckReport report =
        checker::CheckImage(file, case_->image_path(), options);
    const bool failed = file.failures() > 0;
    asked_for += failed ? 1 : 0;
    EXPECT_EQ(report.status == CheckStatus::kClean, !failed) << sector;
    EXPECT_NE(report.status, CheckStatus::kLeaks) << sector;
  }
  EXPECT_GT(asked_for, 0u);
}

INSTANTIATE_TEST_SUITE_P(Corpus, EverySectorTest,
                         testing::ValuesIn(SmallSoundCases()),
                         [](const auto& info) {
                           return TestNameOf(info.param);
                         });

// What corpus/not_files.json says of this test is what it does.
TEST(UnreadableListTest, IsTheOneOfTheCorpus) {
  const auto not_files = ReadNotFiles();
  ASSERT_TRUE(not_files.ok()) << not_files.status();
  std::set<std::string> listed;
  for (const auto& [code, place] : not_files->items()) {
    if (place == "tests/corpus/unreadable_test.cc") listed.insert(code);
  }
  std::set<std::string> tested;
  for (const BadSpot& spot : kBadSpots) tested.insert(spot.code);
  EXPECT_EQ(listed, tested);
}

}  // namespace
}  // namespace qcow2::corpus
