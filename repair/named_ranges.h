// The guest ranges that a plan says will read otherwise.
//
// Values in memory only.
#ifndef REPAIR_NAMED_RANGES_H_
#define REPAIR_NAMED_RANGES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/storage/file.h"
#include "repair/plan.h"

namespace qcow2::repair {

class NamedRanges {
 public:
  explicit NamedRanges(const Plan& plan);

  // The part of `range`, guest bytes of `snapshot` (empty: the active disk),
  // from its first byte that is not named up to its end; length 0 if all of it
  // is.
  ByteRange FirstUnnamed(const std::string& snapshot, ByteRange range) const;

 private:
  // By snapshot: ascending, disjoint, not touching.
  absl::flat_hash_map<std::string, std::vector<ByteRange>> ranges_;
};

}  // namespace qcow2::repair

#endif  // REPAIR_NAMED_RANGES_H_
