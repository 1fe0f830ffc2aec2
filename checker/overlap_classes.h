// Which metadata classes the overlap check looks at: the templates none,
// constant, cached and all, and single classes switched on or off.
//
// Pure values. The names are those of QEMU's overlap-check options.
#ifndef CHECKER_OVERLAP_CLASSES_H_
#define CHECKER_OVERLAP_CLASSES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "checker/finding.h"

namespace qcow2::checker {

// A set of metadata Owner bits.
class OverlapClasses {
 public:
  static OverlapClasses None() { return OverlapClasses(0); }
  // What can be checked in constant time per write.
  static OverlapClasses Constant();
  // Constant, and what a running engine has in memory.
  static OverlapClasses Cached();
  static OverlapClasses All() { return OverlapClasses(kMetadataOwners); }

  // Parses "TEMPLATE[,+class][,-class]...", e.g. "cached,+inactive-l2".
  // A first item that is no template starts from all. InvalidArgument names
  // the item that is wrong and what is allowed.
  static absl::StatusOr<OverlapClasses> Parse(std::string_view text);

  // Whether an overlap in which `owners` (a set of Owner) meet is looked at:
  // one of the metadata owners is in the set.
  bool Covers(uint32_t owners) const { return (owners & bits_) != 0; }
  uint32_t bits() const { return bits_; }

 private:
  explicit OverlapClasses(uint32_t bits) : bits_(bits) {}

  uint32_t bits_;
};

}  // namespace qcow2::checker

#endif  // CHECKER_OVERLAP_CLASSES_H_
