#include "checker/cluster_owners.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "checker/printable.h"

namespace qcow2::checker {

ClusterSet::ClusterSet(std::vector<ClusterRun> runs) {
  std::sort(runs.begin(), runs.end(),
            [](const ClusterRun& a, const ClusterRun& b) {
              return a.first_cluster < b.first_cluster;
            });
  for (const ClusterRun& run : runs) {
    if (run.clusters == 0) continue;
    if (!runs_.empty() && run.first_cluster <= runs_.back().first_cluster +
                                                   runs_.back().clusters) {
      ClusterRun& last = runs_.back();
      last.clusters = std::max(last.first_cluster + last.clusters,
                               run.first_cluster + run.clusters) -
                      last.first_cluster;
    } else {
      runs_.push_back(run);
    }
  }
}

size_t ClusterSet::FirstBehind(uint64_t cluster) const {
  const auto found =
      std::upper_bound(runs_.begin(), runs_.end(), cluster,
                       [](uint64_t value, const ClusterRun& run) {
                         return value < run.first_cluster + run.clusters;
                       });
  return static_cast<size_t>(found - runs_.begin());
}

void ClusterOwners::Add(const Claim& claim) {
  if (claims_.size() >= max_claims_) {
    complete_ = false;
    return;
  }
  claims_.push_back(claim);
  longest_ = std::max(longest_, claim.clusters);
}

void ClusterOwners::Sort() {
  std::sort(claims_.begin(), claims_.end(), [](const Claim& a, const Claim& b) {
    return std::tuple(a.first_cluster, a.owner, a.l2_table, a.l2_entry,
                      a.index) < std::tuple(b.first_cluster, b.owner,
                                            b.l2_table, b.l2_entry, b.index);
  });
}

std::vector<Claim> ClusterOwners::ClaimsOn(uint64_t first,
                                           uint64_t clusters) const {
  // No claim that touches the range begins further before it than the longest
  // claim is long.
  const uint64_t earliest = first > longest_ ? first - longest_ : 0;
  auto claim = std::lower_bound(claims_.begin(), claims_.end(), earliest,
                                [](const Claim& c, uint64_t cluster) {
                                  return c.first_cluster < cluster;
                                });
  std::vector<Claim> found;
  for (; claim != claims_.end() && claim->first_cluster < first + clusters;
       ++claim) {
    if (claim->first_cluster + claim->clusters > first) found.push_back(*claim);
  }
  return found;
}

std::string DescribeClaim(const CheckState& state,
                          std::span<const L2Table> tables, const Claim& claim) {
  const ImageModel& model = state.model;
  const auto of_snapshot = [&](uint32_t l1_table) {
    const L1Table& table = model.l1_tables[l1_table];
    return table.active ? std::string()
                        : absl::StrCat(" of snapshot '",
                                       Printable(table.snapshot_name), "'");
  };
  std::string name(NameOfOwner(claim.owner));
  switch (claim.owner) {
    case kOwnerInactiveL1: {
      const std::optional<uint32_t> l1_table =
          model.L1TableOfSnapshot(claim.index);
      return l1_table ? absl::StrCat(name, of_snapshot(*l1_table)) : name;
    }
    case kOwnerRefcountBlock:
    case kOwnerBitmapTable:
    case kOwnerBitmapData:
      return absl::StrCat(name, " ", claim.index);
    case kOwnerActiveL2:
    case kOwnerInactiveL2: {
      const L2Table& table = tables[claim.l2_table];
      return absl::StrFormat("%s (L1 entry %u)%s", name, table.l1_index,
                             of_snapshot(table.l1_table));
    }
    case kOwnerGuestData:
    case kOwnerCompressedData:
    case kOwnerVmState: {
      const L2Table& table = tables[claim.l2_table];
      const GuestRange guest =
          GuestRangeOf(model, table, claim.l2_entry, claim.clusters);
      return absl::StrFormat("%s (guest offset 0x%x)%s", name,
                             guest.offset_bytes, of_snapshot(table.l1_table));
    }
    default:
      return name;
  }
}

}  // namespace qcow2::checker
