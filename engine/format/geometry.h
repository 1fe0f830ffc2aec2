// Every number that follows from an image's cluster size, refcount width and
// L2 entry format.
//
// Pure values, no I/O. A Geometry exists only with inputs in range, so that
// its shifts are always defined and its sums never overflow.
#ifndef ENGINE_FORMAT_GEOMETRY_H_
#define ENGINE_FORMAT_GEOMETRY_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/format/types.h"

namespace qcow2 {

// The range of the header's cluster_bits: the format asks for at least 512
// bytes a cluster, and no implementation goes beyond 2 MiB.
inline constexpr uint32_t kMinClusterBits = 9;
inline constexpr uint32_t kMaxClusterBits = 21;
// With extended L2 entries a cluster has 32 subclusters of 512 bytes or more.
inline constexpr uint32_t kMinExtendedL2ClusterBits = 14;
inline constexpr uint32_t kSubclustersPerCluster = 32;
// The range of the header's refcount_order: counts of 1 to 64 bits.
inline constexpr uint32_t kMaxRefcountOrder = 6;
// Compressed data is measured in sectors of this many bytes.
inline constexpr uint64_t kCompressedSectorSize = 512;

class Geometry {
 public:
  // InvalidArgument, naming the field and its value, if cluster_bits is not in
  // 9..21 (14..21 with extended L2) or refcount_order not in 0..6.
  static absl::StatusOr<Geometry> Create(uint32_t cluster_bits,
                                         uint32_t refcount_order,
                                         bool extended_l2);

  uint32_t cluster_bits() const { return cluster_bits_; }
  // Bytes in a cluster.
  uint64_t cluster_size() const { return uint64_t{1} << cluster_bits_; }

  bool extended_l2() const { return extended_l2_; }
  // Bytes of one L2 entry: 8, or 16 with its subcluster bitmap.
  uint64_t l2_entry_size() const { return extended_l2_ ? 16 : 8; }
  // Entries of one L2 table, which fills one cluster.
  uint64_t l2_entries() const { return uint64_t{1} << l2_bits(); }
  // log2 of l2_entries().
  uint32_t l2_bits() const { return cluster_bits_ - (extended_l2_ ? 4 : 3); }
  // Guest bytes that one L2 table, that is one L1 entry, maps.
  uint64_t l2_coverage() const { return uint64_t{1} << l2_coverage_bits(); }
  uint32_t l2_coverage_bits() const { return cluster_bits_ + l2_bits(); }
  // Bytes of a subcluster; without extended L2 the whole cluster.
  uint64_t subcluster_size() const {
    return extended_l2_ ? cluster_size() / kSubclustersPerCluster
                        : cluster_size();
  }

  uint32_t refcount_order() const { return refcount_order_; }
  // Bits of one refcount: 1, 2, 4 ... 64.
  uint32_t refcount_bits() const { return uint32_t{1} << refcount_order_; }
  // The largest count that fits.
  uint64_t refcount_max() const {
    return ~uint64_t{0} >> (64 - refcount_bits());
  }
  // Counts in one refcount block, which fills one cluster.
  uint64_t refcount_block_entries() const {
    return uint64_t{1} << refcount_block_bits();
  }
  // log2 of refcount_block_entries().
  uint32_t refcount_block_bits() const {
    return cluster_bits_ + 3 - refcount_order_;
  }

  // The cluster that holds `offset`, and the offset at which `cluster` begins.
  // OffsetOf drops the bits of a cluster index above 2^(64 - cluster_bits).
  HostCluster ClusterOf(HostOffset offset) const {
    return HostCluster(offset.value() >> cluster_bits_);
  }
  HostOffset OffsetOf(HostCluster cluster) const {
    return HostOffset(cluster.value() << cluster_bits_);
  }
  GuestCluster ClusterOf(GuestOffset offset) const {
    return GuestCluster(offset.value() >> cluster_bits_);
  }
  GuestOffset OffsetOf(GuestCluster cluster) const {
    return GuestOffset(cluster.value() << cluster_bits_);
  }
  uint64_t OffsetInCluster(uint64_t offset) const {
    return offset & (cluster_size() - 1);
  }
  bool IsAligned(uint64_t offset) const { return OffsetInCluster(offset) == 0; }

  // Clusters that `bytes` fill, the last perhaps in part. Never overflows.
  uint64_t ClustersFor(uint64_t bytes) const {
    return RoundedUpShift(bytes, cluster_bits_);
  }
  // L1 entries that a virtual disk of that many bytes needs. Never overflows.
  uint64_t L1EntriesFor(uint64_t virtual_size_bytes) const {
    return RoundedUpShift(virtual_size_bytes, l2_coverage_bits());
  }

  // The bits of a compressed cluster's descriptor that hold its byte offset
  // (the format's x); the remaining bits below 62 count further sectors.
  uint32_t compressed_offset_bits() const { return 62 - (cluster_bits_ - 8); }

  friend bool operator==(const Geometry&, const Geometry&) = default;

 private:
  Geometry(uint32_t cluster_bits, uint32_t refcount_order, bool extended_l2)
      : cluster_bits_(cluster_bits),
        refcount_order_(refcount_order),
        extended_l2_(extended_l2) {}

  static uint64_t RoundedUpShift(uint64_t value, uint32_t bits) {
    const uint64_t remainder = value & ((uint64_t{1} << bits) - 1);
    return (value >> bits) + (remainder != 0 ? 1 : 0);
  }

  uint32_t cluster_bits_;
  uint32_t refcount_order_;
  bool extended_l2_;
};

}  // namespace qcow2

#endif  // ENGINE_FORMAT_GEOMETRY_H_
