// Four-bit codes for the cells that real images are made of, sixteen a word,
// the first in the low bits: what the reference map holds most clusters in.
//
// Pure: works on words in memory.
#ifndef CHECKER_CODED_CELLS_H_
#define CHECKER_CODED_CELLS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "checker/packed_cells.h"
#include "checker/reference_cell.h"
#include "checker/usual_clusters.h"

namespace qcow2::checker {

// Code 0 must be the empty cell. The first four are those that need no second
// look if the refcount agrees: then the code is not 0 where the count is 1.
inline constexpr ReferenceCell kCodedCells[] = {
    {0, 0},
    {1, kReferenceCopied},
    {1, 0},
    {1, kReferenceMetadata | kReferenceCopied},
    {1, kReferenceMetadata},
    {1, kReferenceNotCopied},
    {1, kReferenceMetadata | kReferenceNotCopied},
    {2, kReferenceNotCopied},
    {2, kReferenceMetadata | kReferenceNotCopied},
    {2, 0},
    {2, kReferenceMetadata},
    {2, kReferenceCopied},
    {3, kReferenceNotCopied},
    {3, 0},
    {3, kReferenceMetadata | kReferenceNotCopied},
    {4, 0},
};
inline constexpr uint8_t kNoCode = 0xff;
// Codes in a word, and a word with a one in each of them.
inline constexpr uint32_t kCodesPerWord = kCellsPerWord<4>;
inline constexpr uint64_t kEachCode = kEachCell<4>;

// The code each code becomes when the same is added to it, or kNoCode.
using CodeSums = std::array<uint8_t, std::size(kCodedCells)>;

// What may be added to a code without looking further: weights up to 4 with
// any of the three flags that callers give.
inline constexpr uint64_t kMaxCodeWeight = 4;
inline constexpr uint32_t kCodeFlags = 8;
// The sums with each set of flags.
using CodeSumsByFlags = std::array<CodeSums, kCodeFlags>;

constexpr bool HasCodeSums(uint64_t weight) {
  return weight > 0 && weight <= kMaxCodeWeight;
}
// The sums with a weight that has them.
const CodeSumsByFlags& CodeSumsOf(uint64_t weight);

// Adds to the code of cell `index` in its word; false if there is no code for
// the sum.
inline bool AddToCode(uint64_t& word, uint32_t index, const CodeSums& sums) {
  const uint32_t shift = index % kCodesPerWord * 4;
  const uint64_t code = word >> shift & 15u;
  const uint64_t sum = sums[code];
  if (sum == kNoCode) return false;
  word ^= (code ^ sum) << shift;
  return true;
}

// Adds to cells [begin, end); returns the first there is no code for, or `end`.
uint32_t AddToCodes(uint64_t* words, uint32_t begin, uint32_t end,
                    const CodeSums& sums);

// How far, at most to `end`, the cells from `begin` on are as they usually are
// and counted right: one of the first four codes, and the count in `counts`,
// big-endian 16-bit counts from that of `begin` on, is that of the cell. With
// `pass_leaks` leaked clusters are passed over, too, as UsualPass says.
UsualClusters PassUsualCodes(const uint64_t* words, uint32_t begin,
                             uint32_t end, const std::byte* counts,
                             bool pass_leaks);

}  // namespace qcow2::checker

#endif  // CHECKER_CODED_CELLS_H_
