// A check under a memory limit takes the image in several windows of clusters.
// Its report must be that of a check in one go, also of what lies across the
// border of two windows.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "checker/check.h"
#include "checker/reference_map.h"
#include "engine/format/byte_order.h"
#include "engine/format/entry_flags.h"
#include "engine/format/header.h"
#include "engine/format/refcount_block.h"
#include "engine/storage/faulty_file.h"
#include "engine/storage/posix_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAreArray;
using testing::HasSubstr;

constexpr uint32_t kClusterBits = 16;
constexpr uint64_t kClusterSize = uint64_t{1} << kClusterBits;
constexpr uint64_t kL2Entries = kClusterSize / 8;
// As little as a window can be.
constexpr uint64_t kWindow = ReferenceMap::kChunkClusters;
constexpr uint64_t kClusters = 3 * kWindow + 9000;

constexpr uint64_t kRefcountTable = 1;
constexpr uint64_t kFirstBlock = 2;
constexpr uint64_t kL1Table = 30;
// L2 tables lie across the border of the third window.
constexpr uint64_t kFirstL2Table = 3 * kWindow - 7;
constexpr uint64_t kL2Tables = 14;
constexpr uint64_t kFirstData = 40;

// An image whose guest clusters follow one another from cluster kFirstData to
// its end, around the L2 tables. Sparse: only its tables take room. Changes
// are made to copies of the tables in memory; Write() writes all.
class LongImage {
 public:
  explicit LongImage(uint32_t refcount_order)
      : refcount_order_(refcount_order), l2_(kL2Tables * kL2Entries) {
    counts_.assign(BlockCount() * CountsPerBlock(), 0);
    for (uint64_t cluster = 0; cluster <= kRefcountTable; ++cluster) {
      counts_[cluster] = 1;
    }
    for (uint64_t i = 0; i < BlockCount(); ++i) counts_[kFirstBlock + i] = 1;
    counts_[kL1Table] = 1;
    for (uint64_t cluster = kFirstData; cluster < kClusters; ++cluster) {
      counts_[cluster] = 1;
      if (!IsL2Table(cluster)) {
        l2_[GuestOf(cluster)] = cluster * kClusterSize | kCopiedFlag;
      }
    }
  }

  static bool IsL2Table(uint64_t cluster) {
    return cluster >= kFirstL2Table && cluster < kFirstL2Table + kL2Tables;
  }
  // The guest cluster that a host cluster of data holds.
  static uint64_t GuestOf(uint64_t cluster) {
    return cluster - kFirstData - (cluster > kFirstL2Table ? kL2Tables : 0);
  }
  // The first guest cluster that is not allocated.
  static uint64_t FirstFree() { return kClusters - kFirstData - kL2Tables; }

  // The count of a cluster, and the entry of a guest cluster.
  uint64_t& count(uint64_t cluster) { return counts_[cluster]; }
  uint64_t& entry(uint64_t guest_cluster) { return l2_[guest_cluster]; }

  void Write(File& file) const;

 private:
  uint64_t CountsPerBlock() const {
    return RefcountsIn(kClusterSize, refcount_order_);
  }
  uint64_t BlockCount() const {
    return (kClusters + CountsPerBlock() - 1) / CountsPerBlock();
  }
  static void WriteWords(File& file, uint64_t cluster,
                         const std::vector<uint64_t>& words);

  uint32_t refcount_order_;
  std::vector<uint64_t> counts_;
  std::vector<uint64_t> l2_;
};

void LongImage::WriteWords(File& file, uint64_t cluster,
                           const std::vector<uint64_t>& words) {
  std::vector<std::byte> bytes(words.size() * 8);
  for (size_t i = 0; i < words.size(); ++i) StoreBe64(&bytes[i * 8], words[i]);
  ASSERT_TRUE(file.Pwrite(cluster * kClusterSize, bytes).ok());
}

void LongImage::Write(File& file) const {
  Header header;
  header.version = 3;
  header.cluster_bits = kClusterBits;
  header.refcount_order = refcount_order_;
  header.refcount_table_offset = HostOffset(kRefcountTable * kClusterSize);
  header.refcount_table_clusters = 1;
  header.l1_table_offset = HostOffset(kL1Table * kClusterSize);
  header.l1_size = kL2Tables;
  header.size = kL2Tables * kL2Entries * kClusterSize;
  ASSERT_TRUE(file.Truncate(kClusters * kClusterSize).ok());
  ASSERT_TRUE(file.Pwrite(0, header.Encode()).ok());
  std::vector<uint64_t> refcount_table;
  for (uint64_t i = 0; i < BlockCount(); ++i) {
    refcount_table.push_back((kFirstBlock + i) * kClusterSize);
    std::vector<std::byte> block(kClusterSize);
    for (uint64_t k = 0; k < CountsPerBlock(); ++k) {
      SetRefcount(block, refcount_order_, k, counts_[i * CountsPerBlock() + k]);
    }
    ASSERT_TRUE(file.Pwrite(refcount_table.back(), block).ok());
  }
  WriteWords(file, kRefcountTable, refcount_table);
  std::vector<uint64_t> l1;
  for (uint64_t i = 0; i < kL2Tables; ++i) {
    l1.push_back((kFirstL2Table + i) * kClusterSize | kCopiedFlag);
  }
  WriteWords(file, kL1Table, l1);
  WriteWords(file, kFirstL2Table, l2_);
}

// All of a finding in a line.
std::string LineOf(const Finding& finding) {
  std::string line =
      absl::StrCat(finding.id, " ", std::string(RowOf(finding.problem).code),
                   " x", finding.count, " ", DescribeFinding(finding), " [",
                   absl::StrJoin(OwnerNames(finding.owners), "+"), "]");
  for (const GuestRange& range : finding.guest) {
    absl::StrAppend(&line, " ", range.offset_bytes / kClusterSize, "+",
                    range.length_bytes / kClusterSize);
  }
  absl::StrAppend(&line, " and ", finding.guest_ranges_omitted, ", cause ",
                  finding.root_cause);
  return line;
}

std::vector<std::string> LinesOf(const CheckReport& report) {
  std::vector<std::string> lines;
  for (const auto* list : {&report.problems, &report.warnings}) {
    for (const Finding& finding : *list) lines.push_back(LineOf(finding));
  }
  return lines;
}

class WindowsTest : public testing::TestWithParam<uint32_t> {
 protected:
  // Checks the image in one go and in windows as small as can be, and expects
  // the same of both. The report's lines.
  std::vector<std::string> CheckBothWays(const LongImage& image,
                                         ByteRange bad_sectors = {}) {
    const std::string path = testing::TempDir() + "/image.qcow2";
    fclose(fopen(path.c_str(), "w"));
    auto file = PosixFile::Open(path, {.writable = true});
    EXPECT_TRUE(file.ok()) << file.status();
    image.Write(**file);
    FaultyFile faulty(**file);
    if (bad_sectors.length > 0) faulty.FailReadsIn(bad_sectors);
    CheckOptions options;
    options.jobs = 2;
    const CheckReport whole = CheckImage(faulty, path, options);
    options.memory_limit_bytes = 1;
    const CheckReport limited = CheckImage(faulty, path, options);
    EXPECT_EQ(whole.statistics.passes, 1);
    EXPECT_EQ(limited.statistics.passes, 4);
    EXPECT_THAT(LinesOf(limited), ElementsAreArray(LinesOf(whole)));
    EXPECT_EQ(limited.counts.corruptions, whole.counts.corruptions);
    EXPECT_EQ(limited.counts.leaks, whole.counts.leaks);
    EXPECT_EQ(limited.counts.warnings, whole.counts.warnings);
    EXPECT_EQ(limited.qemu.corruptions, whole.qemu.corruptions);
    EXPECT_EQ(limited.qemu.leaks, whole.qemu.leaks);
    EXPECT_EQ(limited.counts.unreadable_bytes, whole.counts.unreadable_bytes);
    EXPECT_EQ(limited.problems_omitted, whole.problems_omitted);
    EXPECT_EQ(limited.image.image_end_offset_bytes,
              whole.image.image_end_offset_bytes);
    return LinesOf(whole);
  }
};

TEST_P(WindowsTest, SoundImageIsClean) {
  EXPECT_TRUE(CheckBothWays(LongImage(GetParam())).empty());
}

TEST_P(WindowsTest, TheLimitIsWhatTheMapMayTake) {
  const std::string path = testing::TempDir() + "/image.qcow2";
  fclose(fopen(path.c_str(), "w"));
  auto file = PosixFile::Open(path, {.writable = true});
  ASSERT_TRUE(file.ok()) << file.status();
  LongImage(GetParam()).Write(**file);
  CheckOptions options;
  const uint64_t all =
      CheckImage(**file, path, options).statistics.map_memory_bytes;
  options.memory_limit_bytes = all;
  EXPECT_EQ(CheckImage(**file, path, options).statistics.passes, 1);
  options.memory_limit_bytes = all / 2;
  const CheckReport limited = CheckImage(**file, path, options);
  EXPECT_GT(limited.statistics.passes, 1);
  EXPECT_LT(limited.statistics.map_memory_bytes, all);
}

TEST_P(WindowsTest, CountsAcrossBorders) {
  LongImage image(GetParam());
  // Too low in two windows; too high in three.
  for (uint64_t i = 0; i < 200; ++i) image.count(kWindow - 90 + i) = 0;
  for (uint64_t i = 0; i < kWindow + 40; ++i) {
    image.count(2 * kWindow - 20 + i) = 3;
  }
  const std::vector<std::string> lines = CheckBothWays(image);
  EXPECT_THAT(lines, Contains(HasSubstr("refcount-too-low x200")));
  EXPECT_THAT(lines, Contains(HasSubstr("refcount-too-high x32808")));
  // The guest data before and behind the L2 tables.
  EXPECT_THAT(lines, Contains(HasSubstr("[active L2+guest data] 65476+32794")));
}

TEST_P(WindowsTest, LeaksAcrossBorders) {
  LongImage image(GetParam());
  for (uint64_t i = 0; i < 10; ++i) {
    image.entry(LongImage::GuestOf(2 * kWindow - 4 + i)) = 0;
  }
  EXPECT_THAT(CheckBothWays(image), Contains(HasSubstr("cluster-leaked x10")));
}

TEST_P(WindowsTest, CopiedFlagsOfTablesThatNameClustersInAllWindows) {
  LongImage image(GetParam());
  const auto swap = [&](uint64_t one, uint64_t other) {
    std::swap(image.entry(one), image.entry(other));
    image.entry(one) &= ~kCopiedFlag;
    image.entry(other) &= ~kCopiedFlag;
  };
  // The first tables name clusters of the last window and the other way round.
  for (uint64_t i = 0; i < 5; ++i) {
    swap(100 + i, 3 * kWindow + 200 + i);
    swap(100 + 2 * i * kL2Entries, 2 * kWindow - 7 * i);
  }
  // And a run of entries across a border.
  for (uint64_t i = 0; i < 50; ++i) {
    image.entry(LongImage::GuestOf(kWindow - 25 + i)) &= ~kCopiedFlag;
  }
  EXPECT_THAT(CheckBothWays(image),
              Contains(HasSubstr("l2-copied-missing x50")));
}

TEST_P(WindowsTest, SharedGuestClustersAcrossBorders) {
  LongImage image(GetParam());
  for (uint64_t i = 0; i < 30; ++i) {
    const uint64_t cluster = 2 * kWindow - 15 + i;
    image.entry(LongImage::FirstFree() + i) = cluster * kClusterSize;
    image.count(cluster) = 2;
  }
  EXPECT_THAT(CheckBothWays(image),
              Contains(HasSubstr("guest-cluster-shared x30")));
}

TEST_P(WindowsTest, OverlapsAcrossBorders) {
  LongImage image(GetParam());
  // Twice as guest data: of clusters that are L2 tables, and of those beside.
  for (uint64_t i = 0; i < 20; ++i) {
    const uint64_t entry = (3 * kWindow - 3 + i) * kClusterSize;
    image.entry(LongImage::FirstFree() + i) = entry;
    image.entry(LongImage::FirstFree() + 100 + i) = entry;
  }
  // Each names the guest data on its own cluster.
  EXPECT_THAT(
      CheckBothWays(image),
      Contains(AllOf(HasSubstr(absl::StrCat("host cluster ", 3 * kWindow - 2)),
                     HasSubstr(absl::StrFormat(
                         "guest data (guest offset 0x%x)",
                         (LongImage::FirstFree() + 1) * kClusterSize)))));
}

TEST_P(WindowsTest, BadSectorsOfBlocksThatReachIntoSeveralWindows) {
  const ByteRange sectors = {kFirstBlock * kClusterSize + 4096, 1024};
  EXPECT_THAT(CheckBothWays(LongImage(GetParam()), sectors),
              Contains(HasSubstr("refcount-block-unreadable")));
}

// Sixteen bits as usual; blocks of eight-bit counts are longer than a window.
INSTANTIATE_TEST_SUITE_P(RefcountWidths, WindowsTest, testing::Values(4, 3));

}  // namespace
}  // namespace qcow2::checker
