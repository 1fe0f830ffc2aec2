#include "engine/image/overlap_guard.h"

#include <bit>
#include <iterator>

namespace qcow2 {
namespace {

constexpr std::string_view kNames[kOverlapClassCount] = {
    "the header",
    "the active L1 table",
    "an active L2 table",
    "the refcount table",
    "a refcount block",
    "the snapshot table",
    "a snapshot's L1 table",
    "a snapshot's L2 table",
    "the bitmap directory"};

}  // namespace

std::string_view NameOfOverlap(uint32_t classes) {
  const auto bit = static_cast<size_t>(std::countr_zero(classes));
  return bit < std::size(kNames) ? kNames[bit] : "nothing";
}

void OverlapGuard::Add(OverlapClass owner, ClusterRun run) {
  if ((classes_ & owner) == 0) return;
  for (uint64_t i = 0; i < run.clusters; ++i) {
    owners_[(run.first + i).value()] |= owner;
  }
}

void OverlapGuard::Remove(OverlapClass owner, ClusterRun run) {
  if ((classes_ & owner) == 0) return;
  for (uint64_t i = 0; i < run.clusters; ++i) {
    const auto found = owners_.find((run.first + i).value());
    if (found == owners_.end()) continue;
    found->second &= ~static_cast<uint32_t>(owner);
    if (found->second == 0) owners_.erase(found);
  }
}

uint32_t OverlapGuard::Find(ClusterRun run, uint32_t own) const {
  uint32_t classes = 0;
  for (uint64_t i = 0; i < run.clusters && !owners_.empty(); ++i) {
    const auto found = owners_.find((run.first + i).value());
    if (found != owners_.end()) classes |= found->second & ~own;
  }
  return classes;
}

}  // namespace qcow2
