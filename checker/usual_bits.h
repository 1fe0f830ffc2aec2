// One bit a cluster, the first in the lowest, for the reference that nearly
// every cluster in use has, and has once: an entry of the active tables names
// it, with COPIED set.
//
// Pure: works on words in memory.
#ifndef CHECKER_USUAL_BITS_H_
#define CHECKER_USUAL_BITS_H_

#include <cstddef>
#include <cstdint>

#include "checker/packed_cells.h"
#include "checker/reference_cell.h"
#include "checker/usual_clusters.h"

namespace qcow2::checker {

// What a bit stands for.
inline constexpr ReferenceCell kUsualReference = {1, kReferenceCopied};
inline constexpr uint32_t kBitsPerWord = kCellsPerWord<1>;

constexpr bool IsUsualReference(uint64_t weight, uint32_t flags) {
  return weight == kUsualReference.count && flags == kUsualReference.flags;
}

inline bool BitAt(const uint64_t* words, uint32_t index) {
  return CellAt<1>(words, index) != 0;
}

// Sets the bit of cluster `index`; false if it was set.
inline bool SetBit(uint64_t* words, uint32_t index) {
  uint64_t& word = words[index / kBitsPerWord];
  const uint64_t bit = uint64_t{1} << (index % kBitsPerWord);
  if ((word & bit) != 0) return false;
  word |= bit;
  return true;
}

// Sets the bits of [begin, end) up to the first that was set; returns that one,
// or `end`.
uint32_t SetBits(uint64_t* words, uint32_t begin, uint32_t end);

// How far, at most to `end`, the clusters from `begin` on are counted right if
// they have no other references than these: the count in `counts`, big-endian
// 16-bit counts from that of `begin` on, is the bit. Leaked clusters are passed
// over with `pass_leaks`, as UsualPass says.
UsualClusters PassUsualBits(const uint64_t* words, uint32_t begin, uint32_t end,
                            const std::byte* counts, bool pass_leaks);

}  // namespace qcow2::checker

#endif  // CHECKER_USUAL_BITS_H_
