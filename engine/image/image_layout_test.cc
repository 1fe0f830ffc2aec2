#include "engine/image/image_layout.h"

#include <cstdint>
#include <string>

#include "engine/format/header.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::HasSubstr;

Geometry MakeGeometry(uint32_t cluster_bits, uint32_t refcount_order = 4,
                      bool extended_l2 = false) {
  return *Geometry::Create(cluster_bits, refcount_order, extended_l2);
}

// That the structures fill the image without gap and overlap, in their order,
// and that each is as large as it must be and no larger.
void ExpectSound(const LayoutRequest& request, const ImageLayout& layout) {
  const Geometry& geometry = request.geometry;
  const auto clusters_of = [&](uint64_t entries) {
    return geometry.ClustersFor(entries * 8);
  };
  const uint64_t guest_clusters =
      request.preallocated ? geometry.ClustersFor(request.virtual_size) : 0;
  EXPECT_EQ(layout.guest_clusters, guest_clusters);
  EXPECT_EQ(layout.l1_entries, geometry.L1EntriesFor(request.virtual_size));
  EXPECT_EQ(layout.l2_table_count,
            request.preallocated ? layout.l1_entries : 0);
  EXPECT_EQ(layout.luks_clusters, geometry.ClustersFor(request.luks_bytes));

  uint64_t next = 1;
  const auto expect_next = [&](HostOffset offset, uint64_t clusters) {
    EXPECT_EQ(offset, clusters == 0 ? HostOffset()
                                    : geometry.OffsetOf(HostCluster(next)));
    next += clusters;
  };
  expect_next(layout.refcount_table, layout.refcount_table_clusters);
  expect_next(layout.refcount_blocks, layout.refcount_block_count);
  expect_next(layout.l1_table, clusters_of(layout.l1_entries));
  expect_next(layout.luks_area, layout.luks_clusters);
  expect_next(layout.l2_tables, layout.l2_table_count);
  expect_next(layout.guest_data,
              request.external_data_file ? 0 : guest_clusters);
  EXPECT_EQ(layout.clusters, next);

  const uint64_t counts = geometry.refcount_block_entries();
  EXPECT_GE(layout.refcount_block_count * counts, layout.clusters);
  EXPECT_EQ(layout.refcount_table_clusters,
            clusters_of(layout.refcount_block_count));
  // One block less would count one cluster less, too (or a table cluster's
  // worth of them), and must not suffice.
  if (layout.refcount_block_count > 1) {
    const uint64_t blocks = layout.refcount_block_count - 1;
    const uint64_t clusters =
        layout.clusters - 1 -
        (layout.refcount_table_clusters - clusters_of(blocks));
    EXPECT_LT(blocks * counts, clusters);
  }
}

// Every cluster size, refcount width and L2 format, with disks of nothing, of a
// bit, around the limits of an L2 table, and large ones.
TEST(ImageLayoutTest, EveryGeometry) {
  int layouts = 0;
  for (uint32_t bits = kMinClusterBits; bits <= kMaxClusterBits; ++bits) {
    for (uint32_t order = 0; order <= kMaxRefcountOrder; ++order) {
      for (const bool extended : {false, true}) {
        if (extended && bits < kMinExtendedL2ClusterBits) continue;
        const Geometry geometry = MakeGeometry(bits, order, extended);
        for (const uint64_t size :
             {uint64_t{0}, uint64_t{512}, geometry.cluster_size() * 3 + 512,
              geometry.l2_coverage(), geometry.l2_coverage() + 512,
              uint64_t{1} << 30}) {
          for (const uint64_t luks : {uint64_t{0}, uint64_t{0x1f9000}}) {
            for (const int mode : {0, 1, 2, 3}) {
              const LayoutRequest request = {
                  .geometry = geometry,
                  .virtual_size = size,
                  .luks_bytes = luks,
                  .preallocated = (mode & 1) != 0,
                  .external_data_file = (mode & 2) != 0};
              const auto layout = PlanImageLayout(request);
              ASSERT_TRUE(layout.ok()) << layout.status();
              ExpectSound(request, *layout);
              ASSERT_FALSE(HasFailure())
                  << "cluster_bits " << bits << " refcount_order " << order
                  << " extended " << extended << " size " << size << " luks "
                  << luks << " mode " << mode;
              ++layouts;
            }
          }
        }
      }
    }
  }
  EXPECT_EQ(layouts, (13 + 8) * 7 * 6 * 2 * 4);
}

TEST(ImageLayoutTest, IsTheOnePeopleKnow) {
  const ImageLayout layout = *PlanImageLayout(
      {.geometry = MakeGeometry(16), .virtual_size = uint64_t{10} << 30});
  EXPECT_EQ(layout, (ImageLayout{.refcount_table = HostOffset(0x10000),
                                 .refcount_table_clusters = 1,
                                 .refcount_blocks = HostOffset(0x20000),
                                 .refcount_block_count = 1,
                                 .l1_table = HostOffset(0x30000),
                                 .l1_entries = 20,
                                 .clusters = 4}));
}

TEST(ImageLayoutTest, BlockThatCountsItselfIsNotForgotten) {
  // 64 counts a block, 64 blocks a table cluster. One cluster more than the
  // first block can count makes a second, which is counted itself.
  const Geometry geometry = MakeGeometry(9, 6);
  uint64_t two_blocks_from = 0;
  for (uint64_t clusters = 1; clusters < 200; ++clusters) {
    const LayoutRequest request = {.geometry = geometry,
                                   .virtual_size = clusters * 512,
                                   .preallocated = true};
    const ImageLayout layout = *PlanImageLayout(request);
    ExpectSound(request, layout);
    if (layout.refcount_block_count == 2 && two_blocks_from == 0) {
      two_blocks_from = clusters;
    }
  }
  // Header, table, block, L1 and L2 leave 59 of 64.
  EXPECT_EQ(two_blocks_from, 60u);
}

TEST(ImageLayoutTest, HugePreallocation) {
  const LayoutRequest request = {.geometry = MakeGeometry(16),
                                 .virtual_size = uint64_t{64} << 40,
                                 .preallocated = true};
  const ImageLayout layout = *PlanImageLayout(request);
  ExpectSound(request, layout);
  EXPECT_EQ(layout.guest_clusters, uint64_t{1} << 30);
}

TEST(ImageLayoutTest, LongestL1Table) {
  for (uint32_t bits = kMinClusterBits; bits <= kMaxClusterBits; ++bits) {
    const Geometry geometry = MakeGeometry(bits);
    const uint64_t size_max = geometry.l2_coverage() * (kMaxL1Bytes / 8);
    const auto largest =
        PlanImageLayout({.geometry = geometry, .virtual_size = size_max});
    ASSERT_TRUE(largest.ok()) << largest.status();
    EXPECT_EQ(largest->l1_entries * 8, kMaxL1Bytes);
    const auto too_large =
        PlanImageLayout({.geometry = geometry, .virtual_size = size_max + 512});
    EXPECT_EQ(too_large.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(too_large.status().message()),
                HasSubstr("larger cluster size"));
  }
}

TEST(ImageLayoutTest, LongestRefcountTable) {
  // 2^20 blocks of 64 counts are 2^26 clusters of 512 bytes: 32 GiB.
  const auto plan = [](uint64_t size) {
    return PlanImageLayout({.geometry = MakeGeometry(9, 6),
                            .virtual_size = size,
                            .preallocated = true});
  };
  EXPECT_TRUE(plan(uint64_t{30} << 30).ok());
  const auto too_large = plan(uint64_t{32} << 30);
  EXPECT_EQ(too_large.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(too_large.status().message()),
              HasSubstr("refcount table"));
}

TEST(ImageLayoutTest, PlacesThatNoEntryCanHold) {
  // 2 MiB clusters: the L1 table could map 2^61 bytes, entries reach 2^56.
  const auto plan = [](uint64_t size, bool preallocated, bool data_file) {
    return PlanImageLayout({.geometry = MakeGeometry(21, 0),
                            .virtual_size = size,
                            .preallocated = preallocated,
                            .external_data_file = data_file})
        .status();
  };
  EXPECT_TRUE(plan(kMaxHostOffset, false, true).ok());
  EXPECT_TRUE(plan(kMaxHostOffset, true, true).ok());
  EXPECT_TRUE(plan(kMaxHostOffset + 512, false, false).ok());
  for (const absl::Status& status : {plan(kMaxHostOffset, true, false),
                                     plan(kMaxHostOffset + 512, false, true),
                                     plan(kMaxHostOffset + 512, true, true)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("L2 entry"));
  }
}

}  // namespace
}  // namespace qcow2
