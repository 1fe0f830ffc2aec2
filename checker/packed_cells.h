// Words that hold kWidth bits for each of many clusters, the first in the low
// bits.
//
// Pure: works on words in memory. A template, because words hold a cluster in
// one bit or in four.
#ifndef CHECKER_PACKED_CELLS_H_
#define CHECKER_PACKED_CELLS_H_

#include <algorithm>
#include <bit>
#include <cstdint>

namespace qcow2::checker {

template <int kWidth>
inline constexpr uint32_t kCellsPerWord = 64 / kWidth;
// A word with a one in each cell.
template <int kWidth>
inline constexpr uint64_t kEachCell = ~uint64_t{0} /
                                      ((uint64_t{1} << kWidth) - 1);

// The bits of cell `index`.
template <int kWidth>
uint64_t CellAt(const uint64_t* words, uint32_t index) {
  return words[index / kCellsPerWord<kWidth>] >>
             (index % kCellsPerWord<kWidth> * kWidth) &
         ((uint64_t{1} << kWidth) - 1);
}

// The end, at most `limit`, of the run of cells like the one at `index`.
template <int kWidth>
uint32_t EndOfLikeCells(const uint64_t* words, uint32_t index, uint32_t limit) {
  constexpr uint32_t kPerWord = kCellsPerWord<kWidth>;
  const uint64_t pattern = CellAt<kWidth>(words, index) * kEachCell<kWidth>;
  const uint32_t shift = index % kPerWord * kWidth;
  uint32_t word = index / kPerWord;
  uint64_t difference = (words[word] ^ pattern) >> shift << shift;
  const uint32_t end = (limit + kPerWord - 1) / kPerWord;
  while (difference == 0 && ++word < end) difference = words[word] ^ pattern;
  if (difference == 0) return limit;
  const uint32_t same =
      static_cast<uint32_t>(std::countr_zero(difference)) / kWidth;
  return std::min(limit, word * kPerWord + same);
}

}  // namespace qcow2::checker

#endif  // CHECKER_PACKED_CELLS_H_
