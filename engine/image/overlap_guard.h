// OverlapGuard: knows which host clusters hold metadata, so that a write that
// would hit them can be refused before it does.
//
// Pure bookkeeping in memory, no I/O.
#ifndef ENGINE_IMAGE_OVERLAP_GUARD_H_
#define ENGINE_IMAGE_OVERLAP_GUARD_H_

#include <cstdint>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "engine/format/geometry.h"
#include "engine/image/refcounts.h"

namespace qcow2 {

// The classes of metadata, as bits.
enum OverlapClass : uint32_t {
  kOverlapMainHeader = 1u << 0,
  kOverlapActiveL1 = 1u << 1,
  kOverlapActiveL2 = 1u << 2,
  kOverlapRefcountTable = 1u << 3,
  kOverlapRefcountBlock = 1u << 4,
  kOverlapSnapshotTable = 1u << 5,
  kOverlapInactiveL1 = 1u << 6,
  kOverlapInactiveL2 = 1u << 7,
  kOverlapBitmapDirectory = 1u << 8,
};
inline constexpr int kOverlapClassCount = 9;

// The templates: what can be looked up in constant time; without reading
// anything; everything.
inline constexpr uint32_t kOverlapNone = 0;
inline constexpr uint32_t kOverlapConstant =
    kOverlapMainHeader | kOverlapActiveL1 | kOverlapRefcountTable |
    kOverlapSnapshotTable | kOverlapBitmapDirectory;
inline constexpr uint32_t kOverlapCached = kOverlapConstant | kOverlapActiveL2 |
                                           kOverlapRefcountBlock |
                                           kOverlapInactiveL1;
inline constexpr uint32_t kOverlapAll = kOverlapCached | kOverlapInactiveL2;

// "active L2 table" ...; of the lowest bit where several are set.
std::string_view NameOfOverlap(uint32_t classes);

class OverlapGuard {
 public:
  // Looks at `classes` only; others may be added and are forgotten.
  explicit OverlapGuard(uint32_t classes) : classes_(classes) {}

  uint32_t classes() const { return classes_; }
  void Add(OverlapClass owner, ClusterRun run);
  void Remove(OverlapClass owner, ClusterRun run);
  // The classes other than `own` that own any cluster of `run`; 0 if none.
  uint32_t Find(ClusterRun run, uint32_t own = 0) const;

 private:
  const uint32_t classes_;
  absl::flat_hash_map<uint64_t, uint32_t> owners_;  // cluster -> classes
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_OVERLAP_GUARD_H_
