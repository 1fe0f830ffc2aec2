// What a check knows of the references to one host cluster.
//
// Pure values.
#ifndef CHECKER_REFERENCE_CELL_H_
#define CHECKER_REFERENCE_CELL_H_

#include <cstdint>

namespace qcow2::checker {

// What is known of one cluster, or of each cluster of a run.
struct ReferenceCell {
  // References, saturating at kMaxReferences.
  uint64_t count = 0;
  // A set of ReferenceFlag.
  uint32_t flags = 0;

  friend bool operator==(const ReferenceCell&, const ReferenceCell&) = default;
};

enum ReferenceFlag : uint32_t {
  // One of the owners is a metadata structure.
  kReferenceMetadata = 1u << 0,
  // An entry of an active table names it with COPIED set, or clear.
  kReferenceCopied = 1u << 1,
  kReferenceNotCopied = 1u << 2,
  // A metadata structure and a second owner of any kind.
  kReferenceOverlap = 1u << 3,
};

inline constexpr uint64_t kMaxReferences = (uint64_t{1} << 60) - 1;

// The cell after `weight` more references with `flags`, which do not hold
// kReferenceOverlap: that is for the sum to find out.
constexpr ReferenceCell SumOf(ReferenceCell cell, uint64_t weight,
                              uint32_t flags) {
  const bool meets =
      cell.count > 0 && ((cell.flags | flags) & kReferenceMetadata) != 0;
  cell.flags |= flags | (meets ? uint32_t{kReferenceOverlap} : 0);
  cell.count = weight > kMaxReferences - cell.count ? kMaxReferences
                                                    : cell.count + weight;
  return cell;
}

}  // namespace qcow2::checker

#endif  // CHECKER_REFERENCE_CELL_H_
