#include "repair/overlap_decision.h"

#include <algorithm>
#include <numeric>

#include "absl/container/flat_hash_map.h"
#include "checker/finding.h"

namespace qcow2::repair {
namespace {

using checker::Owner;

// Strongest first.
constexpr Owner kByRank[] = {
    checker::kOwnerHeader,      checker::kOwnerLuksHeader,
    checker::kOwnerActiveL1,    checker::kOwnerSnapshotTable,
    checker::kOwnerInactiveL1,  checker::kOwnerBitmapDirectory,
    checker::kOwnerActiveL2,    checker::kOwnerInactiveL2,
    checker::kOwnerBitmapTable, checker::kOwnerBitmapData,
};

size_t RankOf(uint32_t owner) {
  return static_cast<size_t>(
      std::find(std::begin(kByRank), std::end(kByRank), owner) -
      std::begin(kByRank));
}

// The owners whose clusters hold the places of structures of kind `owner`.
uint32_t NamedBy(uint32_t owner) {
  switch (owner) {
    case checker::kOwnerInactiveL1:
      return checker::kOwnerSnapshotTable;
    case checker::kOwnerBitmapTable:
      return checker::kOwnerBitmapDirectory;
    case checker::kOwnerBitmapData:
      return checker::kOwnerBitmapTable;
    case checker::kOwnerActiveL2:
      return checker::kOwnerActiveL1 | checker::kOwnerInactiveL1;
    case checker::kOwnerInactiveL2:
      return checker::kOwnerInactiveL1;
    case checker::kOwnerGuestData:
      return checker::kOwnerActiveL2 | checker::kOwnerInactiveL2;
    default:
      return checker::kOwnerHeader;
  }
}

// One try, with some kinds of owners whose clusters must not be written.
class Round {
 public:
  Round(const OverlapClaims& claims, uint32_t cluster_bits, bool guest_is_tied,
        uint32_t frozen)
      : claims_(claims),
        cluster_bits_(cluster_bits),
        frozen_(frozen),
        guest_is_tied_(guest_is_tied ||
                       (NamedBy(checker::kOwnerGuestData) & frozen) != 0) {}

  OverlapDecision Run();

 private:
  bool CanMove(const SharingUnit& unit) const {
    return unit.movable && (NamedBy(unit.owner) & frozen_) == 0;
  }
  bool GuestCanMove(const GuestClaim& claim) const {
    return !guest_is_tied_ && claim.readable;
  }
  uint32_t OwnerOf(size_t keeper) const {
    return keeper == OverlapDecision::kGuestKeeps
               ? uint32_t{checker::kOwnerGuestData}
               : claims_.units[keeper].owner;
  }
  void PlaceUnit(size_t index);
  void PlaceGuest(bool movable);

  const OverlapClaims& claims_;
  const uint32_t cluster_bits_;
  const uint32_t frozen_;
  const bool guest_is_tied_;
  OverlapDecision decision_;
  absl::flat_hash_map<uint64_t, size_t> keepers_;
};

// Gives the unit its clusters, or makes it move when one of them is taken.
void Round::PlaceUnit(size_t index) {
  const SharingUnit& unit = claims_.units[index];
  const auto [first, end] =
      claims_.SharedIn(unit.offset_bytes, unit.length_bytes, cluster_bits_);
  for (size_t i = first; i < end; ++i) {
    const auto keeper = keepers_.find(claims_.clusters[i]);
    if (keeper == keepers_.end()) continue;
    if (CanMove(unit)) {
      decision_.units.push_back({index, claims_.clusters[i], keeper->second});
      return;
    }
    decision_.contested |= unit.owner | OwnerOf(keeper->second);
  }
  for (size_t i = first; i < end; ++i) {
    keepers_.try_emplace(claims_.clusters[i], index);
  }
}

void Round::PlaceGuest(bool movable) {
  for (const auto& [cluster, claim] : claims_.guest) {
    if (GuestCanMove(claim) != movable) continue;
    const auto [keeper, fresh] =
        keepers_.try_emplace(cluster, OverlapDecision::kGuestKeeps);
    if (fresh) continue;
    if (movable) {
      decision_.guest_clusters.emplace(cluster, keeper->second);
    } else {
      decision_.contested |= checker::kOwnerGuestData | OwnerOf(keeper->second);
    }
  }
}

OverlapDecision Round::Run() {
  std::vector<size_t> order(claims_.units.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return RankOf(claims_.units[a].owner) < RankOf(claims_.units[b].owner);
  });
  for (const size_t index : order) {
    if (!CanMove(claims_.units[index])) PlaceUnit(index);
  }
  PlaceGuest(/*movable=*/false);
  for (const size_t index : order) {
    if (CanMove(claims_.units[index])) PlaceUnit(index);
  }
  PlaceGuest(/*movable=*/true);
  return std::move(decision_);
}

}  // namespace

OverlapDecision DecideOverlaps(const OverlapClaims& claims,
                               uint32_t cluster_bits, bool guest_is_tied) {
  // Every turn freezes another kind of owner, of which there are few.
  for (uint32_t frozen = 0;;) {
    OverlapDecision decision =
        Round(claims, cluster_bits, guest_is_tied, frozen).Run();
    if ((decision.contested & ~frozen) == 0) return decision;
    frozen |= decision.contested;
  }
}

}  // namespace qcow2::repair
