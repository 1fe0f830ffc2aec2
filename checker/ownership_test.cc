// Who owns what, as a check hands it to pictures: on small images, on one that
// is taken in windows, and on one with more runs than are kept.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>
#include <vector>

#include "checker/check.h"
#include "checker/ownership_map.h"
#include "checker/reference_map.h"
#include "checker/test_image.h"
#include "engine/format/byte_order.h"
#include "engine/format/entry_flags.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

OwnershipMap MapOf(const File& file, CheckOptions options = {}) {
  OwnershipMap map;
  options.ownership = &map;
  CheckImage(file, "memory", options);
  return map;
}

uint64_t Total(const OwnershipMap& map, ClusterClass cluster_class) {
  uint64_t total = 0;
  for (const FileBin& bin : map.bins) {
    total += bin.clusters[static_cast<size_t>(cluster_class)];
  }
  return total;
}

uint64_t TotalOfAll(const OwnershipMap& map) {
  uint64_t total = 0;
  for (size_t i = 0; i < kClusterClasses; ++i) {
    total += Total(map, static_cast<ClusterClass>(i));
  }
  return total;
}

std::vector<Owner> OwnersOf(const OwnershipMap& map, uint64_t cluster) {
  std::vector<Owner> owners;
  for (const OwnedRun& run : map.owned) {
    if (run.first_cluster <= cluster &&
        cluster < run.first_cluster + run.clusters) {
      owners.push_back(run.owner);
    }
  }
  return owners;
}

TEST(OwnershipTest, NamesEveryOwnerOfASmallImage) {
  TestImage image;
  const OwnershipMap map = MapOf(image.file());
  EXPECT_TRUE(map.complete);
  EXPECT_TRUE(map.all_metadata);
  EXPECT_THAT(map.marks, IsEmpty());
  EXPECT_THAT(map.hits, IsEmpty());
  EXPECT_THAT(OwnersOf(map, 0), ElementsAre(kOwnerHeader));
  EXPECT_THAT(OwnersOf(map, TestImage::kRefcountTable),
              ElementsAre(kOwnerRefcountTable));
  EXPECT_THAT(OwnersOf(map, TestImage::kRefcountBlock),
              ElementsAre(kOwnerRefcountBlock));
  EXPECT_THAT(OwnersOf(map, TestImage::kL1), ElementsAre(kOwnerActiveL1));
  EXPECT_THAT(OwnersOf(map, TestImage::kL2), ElementsAre(kOwnerActiveL2));
  // Three clusters of data, one run.
  ASSERT_EQ(map.owned.back().owner, kOwnerGuestData);
  EXPECT_EQ(map.owned.back().first_cluster, TestImage::kData);
  EXPECT_EQ(map.owned.back().clusters, 3u);
  EXPECT_EQ(map.owned.back().guest_offset_bytes, 0u);
  EXPECT_EQ(map.owned.back().guest_length_bytes, 3 * image.cluster_size());
  EXPECT_THAT(OwnersOf(map, TestImage::kFree), IsEmpty());
  EXPECT_EQ(Total(map, ClusterClass::kGuestData), 3u);
  EXPECT_EQ(Total(map, ClusterClass::kFree), 8u);
  EXPECT_EQ(TotalOfAll(map), map.file_clusters);
  EXPECT_EQ(
      std::accumulate(
          map.guest_bins.begin(), map.guest_bins.end(), uint64_t{0},
          [](uint64_t sum, const GuestBin& bin) { return sum + bin.stored; }),
      3u);
}

TEST(OwnershipTest, SaysWhatIsLeakedOverlappingAndMiscounted) {
  TestImage image;
  image.SetCount(TestImage::kFree + 1, 1);
  image.SetCount(TestImage::kData, 0);
  // The second guest cluster is the L1 table.
  image.SetL2(1, image.OffsetOf(TestImage::kL1) | kCopiedFlag);
  image.SetCount(TestImage::kData + 1, 0);
  const OwnershipMap map = MapOf(image.file());
  EXPECT_TRUE(map.complete);
  EXPECT_THAT(OwnersOf(map, TestImage::kL1),
              ElementsAre(kOwnerActiveL1, kOwnerGuestData));
  std::vector<std::pair<uint64_t, ClusterMark>> marks;
  for (const MarkedRun& run : map.marks) {
    EXPECT_EQ(run.clusters, 1u);
    marks.emplace_back(run.first_cluster, run.mark);
  }
  EXPECT_THAT(
      marks,
      ElementsAre(std::pair(TestImage::kL1, ClusterMark::kCountTooLow),
                  std::pair(TestImage::kL1, ClusterMark::kOverlap),
                  std::pair(TestImage::kData, ClusterMark::kCountTooLow),
                  std::pair(TestImage::kFree + 1, ClusterMark::kLeaked)));
  ASSERT_THAT(map.hits, SizeIs(2));
  EXPECT_EQ(map.hits[0].offset_bytes, 0u);
  EXPECT_EQ(map.hits[0].host_cluster, uint64_t{TestImage::kData});
  EXPECT_EQ(map.hits[1].offset_bytes, image.cluster_size());
  EXPECT_EQ(map.hits[1].host_cluster, uint64_t{TestImage::kL1});
}

TEST(OwnershipTest, NamesTheSnapshotThatAloneHasData) {
  TestImage image;
  const uint64_t table = TestImage::kFree;
  const uint64_t l1 = TestImage::kFree + 1;
  const uint64_t l2 = TestImage::kFree + 2;
  const uint64_t data = TestImage::kFree + 3;
  image.PutSnapshots(table, {SnapshotOf(3 * image.cluster_size(),
                                        image.OffsetOf(l1), "1", "monday")});
  image.WriteBe64(image.OffsetOf(l1), image.OffsetOf(l2));
  image.WriteBe64(image.OffsetOf(l2) + 8, image.OffsetOf(data));
  for (uint64_t i = table; i <= data; ++i) image.SetCount(i, 1);
  const OwnershipMap map = MapOf(image.file());
  EXPECT_TRUE(map.complete);
  EXPECT_THAT(map.marks, IsEmpty());
  EXPECT_THAT(map.disk_names, ElementsAre("", "monday"));
  EXPECT_THAT(OwnersOf(map, l1), ElementsAre(kOwnerInactiveL1));
  EXPECT_THAT(OwnersOf(map, l2), ElementsAre(kOwnerInactiveL2));
  EXPECT_EQ(map.owned.back().first_cluster, data);
  EXPECT_EQ(map.owned.back().cluster_class, ClusterClass::kSnapshotData);
  EXPECT_EQ(map.owned.back().disk, 1u);
  EXPECT_EQ(map.owned.back().guest_offset_bytes, image.cluster_size());
  EXPECT_EQ(Total(map, ClusterClass::kSnapshotData), 1u);
  EXPECT_EQ(Total(map, ClusterClass::kGuestData), 3u);
}

TEST(OwnershipTest, CancelledCheckSaysThatMuchIsMissing) {
  TestImage image;
  const std::atomic<bool> cancel{true};
  CheckOptions options;
  options.cancel = &cancel;
  const OwnershipMap map = MapOf(image.file(), options);
  EXPECT_FALSE(map.complete);
  EXPECT_TRUE(map.cut_short);
}

TEST(OwnershipTest, NothingIsKnownWithoutAGeometry) {
  TestImage image;
  image.header.cluster_bits = 63;
  EXPECT_EQ(MapOf(image.file()).cluster_size_bytes, 0u);
}

// Clusters of 512 bytes, the guest's in reverse order, so that each makes a run
// of its own.
class ReversedImage {
 public:
  static constexpr uint64_t kSize = 512;
  static constexpr uint64_t kData = OwnershipMap::kMaxRuns + 8000;
  static constexpr uint64_t kL2Tables = (kData + 63) / 64;
  static constexpr uint64_t kL1Clusters = (kL2Tables * 8 + 511) / 512;
  // More than enough blocks of 256 counts.
  static constexpr uint64_t kBlocks = (kData + 4000) / 256;
  static constexpr uint64_t kTableClusters = (kBlocks * 8 + 511) / 512;
  static constexpr uint64_t kFirstBlock = 1 + kTableClusters;
  static constexpr uint64_t kL1 = kFirstBlock + kBlocks;
  static constexpr uint64_t kFirstL2 = kL1 + kL1Clusters;
  static constexpr uint64_t kFirstData = kFirstL2 + kL2Tables;
  static constexpr uint64_t kEnd = kFirstData + kData;

  ReversedImage() {
    bytes_.resize(kEnd * kSize);
    Header header;
    header.cluster_bits = 9;
    header.size = kData * kSize;
    header.refcount_table_offset = HostOffset(kSize);
    header.refcount_table_clusters = kTableClusters;
    header.l1_table_offset = HostOffset(kL1 * kSize);
    header.l1_size = kL2Tables;
    const std::vector<std::byte> encoded = header.Encode();
    std::copy(encoded.begin(), encoded.end(), bytes_.begin());
    for (uint64_t i = 0; i < kBlocks; ++i) {
      Put(kSize + i * 8, (kFirstBlock + i) * kSize);
    }
    for (uint64_t i = 0; i < kEnd; ++i) SetCount(i, 1);
    for (uint64_t i = 0; i < kL2Tables; ++i) {
      Put(kL1 * kSize + i * 8, (kFirstL2 + i) * kSize | kCopiedFlag);
    }
    for (uint64_t i = 0; i < kData; ++i) {
      Put(kFirstL2 * kSize + i * 8, HostOf(i) * kSize | kCopiedFlag);
    }
  }

  static uint64_t HostOf(uint64_t guest) {
    return kFirstData + kData - 1 - guest;
  }
  void SetCount(uint64_t cluster, uint16_t count) {
    StoreBe16(&bytes_[kFirstBlock * kSize + cluster * 2], count);
  }
  MemoryFile File() const { return MemoryFile(bytes_); }

 private:
  void Put(uint64_t offset, uint64_t word) { StoreBe64(&bytes_[offset], word); }

  std::vector<std::byte> bytes_;
};

TEST(OwnershipTest, ManyRunsAreCountedInBinsAndExactAroundDamage) {
  ReversedImage image;
  constexpr uint64_t kGuest = 20000;
  const uint64_t damaged = ReversedImage::HostOf(kGuest);
  image.SetCount(damaged, 0);
  const MemoryFile file = image.File();
  const OwnershipMap map = MapOf(file);
  EXPECT_FALSE(map.complete);
  EXPECT_TRUE(map.all_metadata);
  EXPECT_LT(map.owned.size(), size_t{2000});
  EXPECT_EQ(Total(map, ClusterClass::kGuestData), ReversedImage::kData);
  EXPECT_EQ(Total(map, ClusterClass::kActiveL2), ReversedImage::kL2Tables);
  EXPECT_EQ(TotalOfAll(map), map.file_clusters);
  EXPECT_LE(map.bins.size(), OwnershipMap::kMaxBins + 1);
  // Exact there.
  ASSERT_THAT(map.marks, SizeIs(1));
  EXPECT_EQ(map.marks[0].first_cluster, damaged);
  EXPECT_TRUE(std::ranges::any_of(map.exact, [&](const ClusterRun& run) {
    return run.first_cluster < damaged &&
           damaged + 1 < run.first_cluster + run.clusters;
  }));
  for (const uint64_t cluster : {damaged - 1, damaged, damaged + 1}) {
    EXPECT_THAT(OwnersOf(map, cluster), ElementsAre(kOwnerGuestData));
  }
  ASSERT_THAT(map.hits, SizeIs(1));
  EXPECT_EQ(map.hits[0].offset_bytes, kGuest * ReversedImage::kSize);
}

TEST(OwnershipTest, WindowsMakeNoDifference) {
  ReversedImage image;
  image.SetCount(ReversedImage::kEnd - 3, 0);
  image.SetCount(ReferenceMap::kChunkClusters - 1, 0);
  const MemoryFile file = image.File();
  CheckOptions limited;
  limited.memory_limit_bytes = 1;
  OwnershipMap map;
  limited.ownership = &map;
  ASSERT_GT(CheckImage(file, "memory", limited).statistics.passes, 1u);
  const OwnershipMap whole = MapOf(file);
  ASSERT_EQ(map.bins.size(), whole.bins.size());
  for (size_t i = 0; i < map.bins.size(); ++i) {
    EXPECT_EQ(map.bins[i].clusters, whole.bins[i].clusters) << i;
    EXPECT_EQ(map.bins[i].count_too_low, whole.bins[i].count_too_low) << i;
  }
  EXPECT_THAT(map.marks, SizeIs(2));
  EXPECT_EQ(map.owned.size(), whole.owned.size());
}

TEST(OwnershipTest, CountsThatAreTooHighAreNoDamage) {
  ReversedImage image;
  // Every second cluster has one reference and a count of two.
  for (uint64_t i = 0; i < ReversedImage::kData; i += 2) {
    image.SetCount(ReversedImage::kFirstData + i, 2);
  }
  const MemoryFile file = image.File();
  const OwnershipMap map = MapOf(file);
  EXPECT_EQ(map.marks.size(), ReversedImage::kData / 2);
  EXPECT_EQ(Total(map, ClusterClass::kLeaked), 0u);
  EXPECT_THAT(map.hits, IsEmpty());
}

// What lies around several damaged places is charged once: all of it has room.
TEST(OwnershipTest, SurroundingsThatOverlapAreExactTogether) {
  ReversedImage image;
  for (uint64_t i = 0; i < ReversedImage::kData; i += 10) {
    image.SetCount(ReversedImage::kFirstData + i, 0);
  }
  const MemoryFile file = image.File();
  const OwnershipMap map = MapOf(file);
  EXPECT_FALSE(map.complete);
  EXPECT_FALSE(map.exact_omitted);
  ASSERT_THAT(map.exact, SizeIs(2));  // the header's, and all of this
  EXPECT_GE(map.exact[1].clusters, ReversedImage::kData);
}

// Each damaged cluster of the disk is listed, or counted as left out.
TEST(OwnershipTest, NoHitIsLost) {
  ReversedImage image;
  for (uint64_t i = 0; i < ReversedImage::kData; ++i) {
    image.SetCount(ReversedImage::kFirstData + i, 0);
  }
  const MemoryFile file = image.File();
  CheckOptions options;
  options.jobs = 1;
  const OwnershipMap map = MapOf(file, options);
  EXPECT_EQ(map.hits.size() + map.hits_omitted, ReversedImage::kData);
  EXPECT_EQ(map.hits.size(), OwnershipMap::kMaxRuns);
}

}  // namespace
}  // namespace qcow2::checker
