// The whole check on small images in memory: every single bit of their tables
// is flipped, and each flip is found or known to be harmless.
#include "checker/check.h"

#include <atomic>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "checker/test_image.h"
#include "engine/format/entry_flags.h"
#include "engine/storage/read_only_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

using testing::Contains;
using testing::Not;

CheckReport Check(const File& file, CheckOptions options = {}) {
  options.jobs = 1;
  return CheckImage(file, "memory", options);
}

std::set<std::string> CodesOf(const CheckReport& report) {
  std::set<std::string> codes;
  for (const auto* list : {&report.problems, &report.warnings}) {
    for (const Finding& finding : *list) {
      codes.insert(std::string(RowOf(finding.problem).code));
    }
  }
  return codes;
}

TEST(CheckImageTest, SoundImageIsCleanAndNeverWritten) {
  TestImage image(3, 9);
  ReadOnlyFile read_only(image.file());
  const CheckReport report = Check(read_only);
  EXPECT_EQ(report.status, CheckStatus::kClean);
  EXPECT_TRUE(CodesOf(report).empty());
  EXPECT_EQ(report.image.image_end_offset_bytes, 8 * 512);
  EXPECT_EQ(report.allocation.allocated_clusters, 3);
}

// Flips each bit of [offset, offset + length) in turn and calls
// `judge(word offset, bit of the word, report)`.
template <typename Judge>
void FlipEveryBit(TestImage& image, uint64_t offset, uint64_t length,
                  Judge judge) {
  MemoryFile file(std::vector<std::byte>(image.file().bytes().begin(),
                                         image.file().bytes().end()));
  for (uint64_t byte = offset; byte < offset + length; ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      const auto mask = static_cast<std::byte>(1 << bit);
      file.mutable_bytes()[byte] ^= mask;
      const uint64_t word = byte / 8 * 8;
      judge(word, static_cast<int>((word + 7 - byte) * 8) + bit, Check(file));
      file.mutable_bytes()[byte] ^= mask;
    }
  }
}

uint64_t WordAt(TestImage& image, uint64_t offset) {
  uint64_t word = 0;
  for (int i = 0; i < 8; ++i) {
    word =
        word << 8 | std::to_integer<uint64_t>(image.file().bytes()[offset + i]);
  }
  return word;
}

TEST(CheckImageTest, EveryFlippedBitOfTheRefcountStructuresIsFound) {
  TestImage image(3, 9);
  FlipEveryBit(image, image.OffsetOf(1), 2 * image.cluster_size(),
               [](uint64_t word, int bit, const CheckReport& report) {
                 EXPECT_NE(report.status, CheckStatus::kClean)
                     << "word " << word << " bit " << bit;
               });
}

TEST(CheckImageTest, EveryFlippedBitOfTheL1TableIsFound) {
  TestImage image(3, 9);
  FlipEveryBit(image, image.OffsetOf(3), uint64_t{image.header.l1_size} * 8,
               [](uint64_t word, int bit, const CheckReport& report) {
                 EXPECT_NE(report.status, CheckStatus::kClean)
                     << "word " << word << " bit " << bit;
               });
}

// In an empty entry the zero flag says that zeros are read, and COPIED says
// nothing; in one with a cluster the zero flag says that the cluster is not
// read. No reader takes harm from either.
TEST(CheckImageTest, EveryFlippedBitOfTheL2TableIsFoundOrHarmless) {
  TestImage image(3, 9);
  FlipEveryBit(image, image.OffsetOf(4), image.cluster_size(),
               [&](uint64_t word, int bit, const CheckReport& report) {
                 const bool empty = WordAt(image, word) == 0;
                 const bool harmless = bit == 0 || (empty && bit == 63);
                 EXPECT_EQ(report.status == CheckStatus::kClean, harmless)
                     << "word " << word << " bit " << bit;
               });
}

// COPIED that is clear says what a count above one says: that the count is too
// high is a leak, and all there is to find. To qemu-img the flag is right.
TEST(CheckImageTest, CopiedMayBeClearWhereTheCountIsTooHigh) {
  TestImage image;
  image.SetCount(TestImage::kL2, 2);
  image.SetL1(0, image.OffsetOf(TestImage::kL2));
  image.SetCount(TestImage::kData, 2);
  image.SetL2(0, image.OffsetOf(TestImage::kData));
  CheckOptions options;
  CheckReport report = CheckImage(image.file(), "image", options);
  EXPECT_EQ(report.status, CheckStatus::kLeaks);
  EXPECT_EQ(report.counts.corruptions, 0u);
  EXPECT_EQ(report.OccurrencesOf(Problem::kRefcountTooHigh), 2u);
  options.qemu_compatible = true;
  report = CheckImage(image.file(), "image", options);
  EXPECT_EQ(report.qemu.corruptions, 0u);
  EXPECT_EQ(report.qemu.leaks, 2u);

  // Only where it does: neither flag is right for a count of one.
  image.SetCount(TestImage::kL2, 1);
  image.SetCount(TestImage::kData, 1);
  report = CheckImage(image.file(), "image", CheckOptions());
  EXPECT_EQ(report.OccurrencesOf(Problem::kL1CopiedMissing), 1u);
  EXPECT_EQ(report.OccurrencesOf(Problem::kL2CopiedMissing), 1u);
}

TEST(CheckImageTest, GoesOnPastDamage) {
  TestImage image(3, 9);
  // A snapshot count without a table, an L2 entry off its cluster, a leak.
  image.WriteBe64(image.OffsetOf(4), uint64_t{1} << 63 | (5 * 512 + 256));
  image.WriteBe64(image.OffsetOf(1) + 8, 77);
  const CheckReport report = Check(image.file());
  EXPECT_EQ(report.status, CheckStatus::kCorrupt);
  EXPECT_THAT(CodesOf(report), Contains("refcount-table-entry-reserved"));
  EXPECT_THAT(CodesOf(report), Contains("l2-entry-reserved"));
}

TEST(CheckImageTest, LeaksOfALostEntryAreSuspectAndPointAtIt) {
  TestImage image(3, 12);
  const uint64_t entry = WordAt(image, image.OffsetOf(4));
  image.WriteBe64(image.OffsetOf(4), entry | 1024);
  const CheckReport report = Check(image.file());
  ASSERT_EQ(report.problems.size(), 2);
  EXPECT_EQ(report.problems[0].problem, Problem::kL2EntryUnaligned);
  EXPECT_EQ(report.problems[1].problem, Problem::kClusterLeaked);
  EXPECT_TRUE(report.problems[1].suspect_orphan);
  EXPECT_EQ(report.problems[1].root_cause, report.problems[0].id);
  EXPECT_EQ(report.counts.suspect_orphans, 1);
}

TEST(CheckImageTest, OverlapClassesAreHeeded) {
  TestImage image(3, 12);
  // Guest data in the L1 table's cluster, with a refcount to match.
  image.WriteBe64(image.OffsetOf(4), image.OffsetOf(3));
  image.WriteBe64(image.OffsetOf(2), 0x0001000100010002);
  CheckOptions options;
  EXPECT_THAT(CodesOf(Check(image.file(), options)),
              Contains("overlap-guest-data"));
  options.overlap = OverlapClasses::None();
  EXPECT_THAT(CodesOf(Check(image.file(), options)),
              Not(Contains("overlap-guest-data")));
  options.overlap = *OverlapClasses::Parse("none,+active-l1");
  EXPECT_THAT(CodesOf(Check(image.file(), options)),
              Contains("overlap-guest-data"));
}

TEST(CheckImageTest, ListsNoMoreThanAskedForAndCountsAll) {
  TestImage image(3, 9);
  // Every other cluster behind the data is counted but not used.
  for (uint64_t cluster = 8; cluster < 16; cluster += 4) {
    image.WriteBe64(image.OffsetOf(2) + cluster * 2, 0x0001000000010000);
  }
  CheckOptions options;
  options.max_problems = 3;
  const CheckReport report = Check(image.file(), options);
  EXPECT_EQ(report.problems.size(), 3);
  EXPECT_EQ(report.problems_omitted, 1);
  EXPECT_EQ(report.counts.leaks, 4);
}

TEST(CheckImageTest, ListsNoMoreThanAskedForOfAllProblemsTogether) {
  TestImage image;
  image.SetL2(0, image.OffsetOf(TestImage::kData) | kCopiedFlag | 2);
  image.SetL2(2, image.OffsetOf(TestImage::kData + 2) | kCopiedFlag | 2);
  image.SetCount(TestImage::kFree, 1);
  image.SetCount(TestImage::kFree + 2, 1);
  CheckOptions options;
  options.max_problems = 3;
  const CheckReport report = Check(image.file(), options);
  EXPECT_EQ(report.problems.size(), 3);
  EXPECT_EQ(report.problems_omitted, 1);
}

// Counts of a bit are counted by the word where they are not listed.
TEST(CheckImageTest, CountsLeaksOfABitThatAreNotListed) {
  constexpr uint64_t kClusters = 1000;
  TestImage image(3, 9);
  image.header.refcount_order = 0;
  const uint64_t block = image.OffsetOf(TestImage::kRefcountBlock);
  image.Fill(TestImage::kRefcountBlock, '\0');
  image.WriteBe64(block, 0xff00000000000000);
  std::mt19937_64 random(1);
  for (uint64_t word = 1; word < kClusters / 64; ++word) {
    const uint64_t half = random();
    image.WriteBe64(block + word * 8, half & random());
  }
  image.Truncate(image.OffsetOf(kClusters));
  CheckOptions options;
  options.max_problems = 0;
  const CheckReport all = Check(image.file(), options);
  ASSERT_GT(all.problems.size(), 100u);
  EXPECT_EQ(all.status, CheckStatus::kLeaks);
  for (const uint64_t limit : {1, 2, 50}) {
    options.max_problems = limit;
    const CheckReport some = Check(image.file(), options);
    EXPECT_EQ(some.problems.size(), limit);
    EXPECT_EQ(some.problems_omitted, all.problems.size() - limit);
    EXPECT_EQ(some.counts.leaks, all.counts.leaks);
    EXPECT_EQ(some.qemu.leaks, all.qemu.leaks);
    EXPECT_EQ(some.image.image_end_offset_bytes,
              all.image.image_end_offset_bytes);
  }
}

TEST(CheckImageTest, CancelledCheckIsNeverClean) {
  TestImage image(3, 9);
  const std::atomic<bool> cancel(true);
  CheckOptions options;
  options.cancel = &cancel;
  const CheckReport report = Check(image.file(), options);
  EXPECT_TRUE(report.cancelled);
  EXPECT_EQ(report.status, CheckStatus::kInconclusive);
}

}  // namespace
}  // namespace qcow2::checker
