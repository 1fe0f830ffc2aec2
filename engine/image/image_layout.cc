#include "engine/image/image_layout.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/format/header.h"
#include "engine/format/l1_entry.h"
#include "engine/format/refcount_table_entry.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// The refcount structures of a file.
struct RefcountSize {
  uint64_t table_clusters = 1;
  uint64_t blocks = 1;
};

uint64_t RoundedUpQuotient(uint64_t value, uint64_t divisor) {
  return value / divisor + (value % divisor != 0 ? 1 : 0);
}

// What counts `other_clusters` and itself. Both numbers only grow from round to
// round, and each round adds at most a 64th of the one before: a block has 64
// counts or more, and a cluster of the table names 64 blocks or more.
RefcountSize SizeRefcounts(const Geometry& geometry, uint64_t other_clusters) {
  RefcountSize size;
  while (true) {
    const uint64_t clusters =
        other_clusters + size.table_clusters + size.blocks;
    const uint64_t blocks =
        RoundedUpQuotient(clusters, geometry.refcount_block_entries());
    const uint64_t table_clusters =
        geometry.ClustersFor(blocks * kRefcountTableEntrySize);
    if (blocks == size.blocks && table_clusters == size.table_clusters) {
      return size;
    }
    size = {.table_clusters = table_clusters, .blocks = blocks};
  }
}

absl::Status CheckL1Size(const Geometry& geometry, uint64_t virtual_size) {
  const uint64_t entries = geometry.L1EntriesFor(virtual_size);
  const uint64_t entries_max = kMaxL1Bytes / kL1EntrySize;
  if (entries <= entries_max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "A virtual size of ", virtual_size, " bytes needs an L1 table of ",
      entries, " entries, more than the ", entries_max,
      " it may have: with clusters of ", geometry.cluster_size(),
      " bytes a disk has at most ", entries_max * geometry.l2_coverage(),
      " (try a larger cluster size)"));
}

absl::Status CheckPlaces(const LayoutRequest& request,
                         const ImageLayout& layout) {
  const Geometry& geometry = request.geometry;
  if (layout.refcount_table_clusters >
      geometry.ClustersFor(kMaxRefcountTableBytes)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "Preallocating ", layout.guest_clusters, " clusters of ",
        geometry.cluster_size(), " bytes needs a refcount table of ",
        layout.refcount_table_clusters * geometry.cluster_size(),
        " bytes, more than the ", kMaxRefcountTableBytes,
        " it may have (try a larger cluster size or narrower refcounts)"));
  }
  const uint64_t clusters_max = kMaxHostOffset >> geometry.cluster_bits();
  // With a data file a guest cluster's place is its own offset, whether it gets
  // one now or later.
  const uint64_t data_file_clusters =
      request.external_data_file ? geometry.ClustersFor(request.virtual_size)
                                 : 0;
  if (layout.clusters <= clusters_max && data_file_clusters <= clusters_max) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("A virtual size of ", request.virtual_size,
                   " bytes puts guest clusters at offsets beyond the ",
                   kMaxHostOffset, " that an L2 entry can hold"));
}

}  // namespace

absl::StatusOr<ImageLayout> PlanImageLayout(const LayoutRequest& request) {
  const Geometry& geometry = request.geometry;
  RETURN_IF_ERROR(CheckL1Size(geometry, request.virtual_size));
  ImageLayout layout;
  layout.l1_entries = geometry.L1EntriesFor(request.virtual_size);
  layout.luks_clusters = geometry.ClustersFor(request.luks_bytes);
  if (request.preallocated) {
    layout.l2_table_count = layout.l1_entries;
    layout.guest_clusters = geometry.ClustersFor(request.virtual_size);
  }
  const uint64_t l1_clusters =
      geometry.ClustersFor(layout.l1_entries * kL1EntrySize);
  const uint64_t data_clusters =
      request.external_data_file ? 0 : layout.guest_clusters;
  const RefcountSize refcounts =
      SizeRefcounts(geometry, 1 + l1_clusters + layout.luks_clusters +
                                  layout.l2_table_count + data_clusters);
  layout.refcount_table_clusters = refcounts.table_clusters;
  layout.refcount_block_count = refcounts.blocks;

  uint64_t next = 1;  // Cluster 0 is the header's.
  const auto place = [&](uint64_t clusters) {
    const uint64_t first = next;
    next += clusters;
    return clusters == 0 ? HostOffset() : geometry.OffsetOf(HostCluster(first));
  };
  layout.refcount_table = place(layout.refcount_table_clusters);
  layout.refcount_blocks = place(layout.refcount_block_count);
  layout.l1_table = place(l1_clusters);
  layout.luks_area = place(layout.luks_clusters);
  layout.l2_tables = place(layout.l2_table_count);
  layout.guest_data = place(data_clusters);
  layout.clusters = next;
  RETURN_IF_ERROR(CheckPlaces(request, layout));
  return layout;
}

}  // namespace qcow2
