#include "engine/format/geometry.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace qcow2 {

absl::StatusOr<Geometry> Geometry::Create(uint32_t cluster_bits,
                                          uint32_t refcount_order,
                                          bool extended_l2) {
  if (cluster_bits < kMinClusterBits || cluster_bits > kMaxClusterBits) {
    return absl::InvalidArgumentError(
        absl::StrCat("cluster_bits is ", cluster_bits, ", must be in ",
                     kMinClusterBits, "..", kMaxClusterBits));
  }
  if (extended_l2 && cluster_bits < kMinExtendedL2ClusterBits) {
    return absl::InvalidArgumentError(
        absl::StrCat("cluster_bits is ", cluster_bits, ", must be at least ",
                     kMinExtendedL2ClusterBits, " with extended L2 entries"));
  }
  if (refcount_order > kMaxRefcountOrder) {
    return absl::InvalidArgumentError(
        absl::StrCat("refcount_order is ", refcount_order, ", must be at most ",
                     kMaxRefcountOrder));
  }
  return Geometry(cluster_bits, refcount_order, extended_l2);
}

}  // namespace qcow2
