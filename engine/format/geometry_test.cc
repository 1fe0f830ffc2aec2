#include "engine/format/geometry.h"

#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMaxU64 = ~uint64_t{0};

TEST(GeometryTest, ExistsExactlyForInputsInRange) {
  for (uint32_t bits = 0; bits < 70; ++bits) {
    for (uint32_t order = 0; order < 40; ++order) {
      for (bool extended : {false, true}) {
        const bool valid =
            bits >= (extended ? 14 : 9) && bits <= 21 && order <= 6;
        EXPECT_EQ(Geometry::Create(bits, order, extended).ok(), valid)
            << bits << " " << order << " " << extended;
      }
    }
  }
}

TEST(GeometryTest, RefusalNamesTheFieldAndItsValue) {
  const absl::Status bits = Geometry::Create(22, 4, false).status();
  EXPECT_EQ(bits.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(bits.message()), HasSubstr("cluster_bits is 22"));
  EXPECT_THAT(std::string(Geometry::Create(13, 4, true).status().message()),
              HasSubstr("extended L2"));
  EXPECT_THAT(std::string(Geometry::Create(16, 7, false).status().message()),
              HasSubstr("refcount_order is 7"));
}

TEST(GeometryTest, UsualImage) {
  const Geometry geometry = *Geometry::Create(16, 4, false);
  EXPECT_EQ(geometry.cluster_size(), 65536u);
  EXPECT_EQ(geometry.l2_entry_size(), 8u);
  EXPECT_EQ(geometry.l2_entries(), 8192u);
  EXPECT_EQ(geometry.l2_coverage(), uint64_t{512} << 20);
  EXPECT_EQ(geometry.subcluster_size(), 65536u);
  EXPECT_EQ(geometry.refcount_bits(), 16u);
  EXPECT_EQ(geometry.refcount_max(), 65535u);
  EXPECT_EQ(geometry.refcount_block_entries(), 32768u);
  EXPECT_EQ(geometry.compressed_offset_bits(), 54u);
}

TEST(GeometryTest, ExtendedL2HalvesTheEntries) {
  const Geometry geometry = *Geometry::Create(16, 4, true);
  EXPECT_EQ(geometry.l2_entry_size(), 16u);
  EXPECT_EQ(geometry.l2_entries(), 4096u);
  EXPECT_EQ(geometry.l2_coverage(), uint64_t{256} << 20);
  EXPECT_EQ(geometry.subcluster_size(), 2048u);
  EXPECT_EQ(Geometry::Create(14, 4, true)->subcluster_size(), 512u);
}

TEST(GeometryTest, TablesFillACluster) {
  for (uint32_t bits = 9; bits <= 21; ++bits) {
    for (uint32_t order = 0; order <= 6; ++order) {
      const Geometry geometry = *Geometry::Create(bits, order, bits >= 14);
      EXPECT_EQ(geometry.l2_entries() * geometry.l2_entry_size(),
                geometry.cluster_size());
      EXPECT_EQ(geometry.refcount_block_entries() * geometry.refcount_bits(),
                geometry.cluster_size() * 8);
      EXPECT_EQ(geometry.l2_coverage(),
                geometry.l2_entries() * geometry.cluster_size());
    }
  }
}

TEST(GeometryTest, RefcountMaximumPerWidth) {
  const uint64_t expected[] = {1, 3, 15, 255, 0xffff, 0xffffffff, kMaxU64};
  for (uint32_t order = 0; order <= 6; ++order) {
    EXPECT_EQ(Geometry::Create(9, order, false)->refcount_max(),
              expected[order]);
  }
}

TEST(GeometryTest, ClustersAndOffsetsConvert) {
  const Geometry geometry = *Geometry::Create(9, 4, false);
  EXPECT_EQ(geometry.ClusterOf(HostOffset(1023)), HostCluster(1));
  EXPECT_EQ(geometry.OffsetOf(HostCluster(3)), HostOffset(1536));
  EXPECT_EQ(geometry.ClusterOf(GuestOffset(1024)), GuestCluster(2));
  EXPECT_EQ(geometry.OffsetOf(GuestCluster(2)), GuestOffset(1024));
  EXPECT_EQ(geometry.OffsetInCluster(1025), 1u);
  EXPECT_TRUE(geometry.IsAligned(1024));
  EXPECT_FALSE(geometry.IsAligned(1025));
}

TEST(GeometryTest, RoundingUpNeverOverflows) {
  const Geometry geometry = *Geometry::Create(9, 4, false);
  EXPECT_EQ(geometry.ClustersFor(0), 0u);
  EXPECT_EQ(geometry.ClustersFor(1), 1u);
  EXPECT_EQ(geometry.ClustersFor(512), 1u);
  EXPECT_EQ(geometry.ClustersFor(513), 2u);
  EXPECT_EQ(geometry.ClustersFor(kMaxU64), uint64_t{1} << 55);
  EXPECT_EQ(geometry.L1EntriesFor(0), 0u);
  EXPECT_EQ(geometry.L1EntriesFor(32768), 1u);
  EXPECT_EQ(geometry.L1EntriesFor(32769), 2u);
  EXPECT_EQ(geometry.L1EntriesFor(kMaxU64), uint64_t{1} << 49);
}

}  // namespace
}  // namespace qcow2
