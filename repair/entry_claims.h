// Which places damaged entries lay claim to: a place that two of them could
// have named says nothing about either.
//
// In memory only.
#ifndef REPAIR_ENTRY_CLAIMS_H_
#define REPAIR_ENTRY_CLAIMS_H_

#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_map.h"

namespace qcow2::repair {

class EntryClaims {
 public:
  // One more entry could have named `offset` (bytes in the file).
  void Add(uint64_t offset) {
    if (claims_.size() >= kMaxPlaces && !claims_.contains(offset)) {
      overflown_ = true;
      return;
    }
    ++claims_[offset];
  }

  // Whether exactly one entry could have named it. Never, once there are more
  // places than can be kept apart.
  bool IsSole(uint64_t offset) const {
    if (overflown_) return false;
    const auto found = claims_.find(offset);
    return found != claims_.end() && found->second == 1;
  }

  bool empty() const { return claims_.empty(); }

 private:
  static constexpr size_t kMaxPlaces = size_t{1} << 20;

  absl::flat_hash_map<uint64_t, uint32_t> claims_;
  bool overflown_ = false;
};

}  // namespace qcow2::repair

#endif  // REPAIR_ENTRY_CLAIMS_H_
