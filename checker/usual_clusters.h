// Passing over clusters that are as they usually are, a word of them at a time.
//
// Pure: works on words in memory. A template, because words hold a cluster in
// one bit or in four.
#ifndef CHECKER_USUAL_CLUSTERS_H_
#define CHECKER_USUAL_CLUSTERS_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "checker/packed_cells.h"
#include "engine/format/byte_order.h"

namespace qcow2::checker {

// Clusters that need no closer look.
struct UsualClusters {
  uint64_t end = 0;          // behind the last one
  uint64_t leaked = 0;       // those that nothing refers to, with a count of 1
  uint64_t leaked_runs = 0;  // the runs these make
};

// What is known of the clusters of one word, as sets: the lowest of the kWidth
// bits of each cluster says whether it belongs, the others are 0.
struct CellSets {
  uint64_t used = 0;  // those with one reference
  uint64_t odd = 0;   // those to stop at
};
struct CountSets {
  uint64_t ones = 0;
  uint64_t others = 0;  // neither 0 nor 1
};

// The counts of `clusters` clusters, big-endian ones of 16 bits from `counts`
// on.
template <int kWidth>
CountSets CountsAt(const std::byte* counts, uint32_t clusters) {
  CountSets sets;
  for (uint64_t i = 0; i < clusters; ++i) {
    const uint64_t count = LoadBe16(counts + i * 2);
    sets.ones |= uint64_t{count == 1} << (i * kWidth);
    sets.others |= uint64_t{count > 1} << (i * kWidth);
  }
  return sets;
}

// Goes on word by word, with fewer clusters in the last.
template <int kWidth>
class UsualPass {
 public:
  // With `pass_leaks` leaked clusters are gone past and counted, too, but for
  // one that is the first of all, since it may belong to a run before it.
  explicit UsualPass(bool pass_leaks) : pass_leaks_(pass_leaks) {}

  // Returns how many of the `clusters` clusters are passed; the others belong
  // to no set.
  uint32_t Pass(const CellSets& cells, const CountSets& counts,
                uint32_t clusters) {
    uint64_t leaked = counts.ones & ~cells.used & ~cells.odd;
    uint64_t stop = cells.odd | counts.others | (counts.ones ^ cells.used);
    if (pass_leaks_ && !(first_ && (leaked & 1) != 0)) stop &= ~leaked;
    first_ = false;
    uint32_t passed = clusters;
    if (stop != 0) {
      passed = static_cast<uint32_t>(std::countr_zero(stop)) / kWidth;
      leaked &= (stop & (0 - stop)) - 1;
    }
    CountLeaked(leaked);
    return passed;
  }

  uint64_t leaked() const { return leaked_; }
  uint64_t leaked_runs() const { return leaked_runs_; }

 private:
  void CountLeaked(uint64_t leaked) {
    leaked_ += Members(leaked);
    leaked_runs_ += Members(leaked & ~(leaked << kWidth | last_leaked_));
    last_leaked_ = leaked >> (64 - kWidth);
  }

  // How many belong to a set. Processors that count bits by themselves are not
  // taken for granted.
  static uint64_t Members(uint64_t set) {
    constexpr uint64_t kEachByte = 0x0101010101010101;
    uint64_t bytes = set;
    if constexpr (kWidth == 1) {
      bytes -= bytes >> 1 & kEachByte * 0x55;
      bytes = (bytes & kEachByte * 0x33) + (bytes >> 2 & kEachByte * 0x33);
    }
    // What is in each half of a byte, then all bytes in the highest.
    bytes = (bytes & kEachByte * 0x0f) + (bytes >> 4 & kEachByte * 0x0f);
    return bytes * kEachByte >> 56;
  }

  const bool pass_leaks_;
  bool first_ = true;
  uint64_t last_leaked_ = 0;  // 1 if the last cluster of the last word was
  uint64_t leaked_ = 0;
  uint64_t leaked_runs_ = 0;
};

// How far, at most to `end`, the clusters from `begin` on are as usual, and
// counted right. `sets_of` tells what the cells in a word are, `counts_of_word`
// what CountsAt tells for all the clusters of a word, faster.
template <int kWidth, typename SetsOf, typename CountsOfWord>
UsualClusters PassUsualCells(const uint64_t* words, uint32_t begin,
                             uint32_t end, const std::byte* counts,
                             bool pass_leaks, SetsOf sets_of,
                             CountsOfWord counts_of_word) {
  constexpr uint32_t kPerWord = kCellsPerWord<kWidth>;
  UsualPass<kWidth> pass(pass_leaks);
  const uint32_t shift = begin % kPerWord * kWidth;
  uint32_t index = begin;
  uint32_t passed = kPerWord;
  while (passed == kPerWord && index < end) {
    const uint32_t clusters = std::min(end - index, kPerWord);
    const uint32_t bits = clusters * kWidth;
    const uint64_t* word = words + index / kPerWord;
    uint64_t cells = *word >> shift;
    if (shift + bits > 64) cells |= word[1] << (64 - shift);
    if (bits < 64) cells &= (uint64_t{1} << bits) - 1;
    passed =
        pass.Pass(sets_of(cells),
                  clusters == kPerWord ? counts_of_word(counts)
                                       : CountsAt<kWidth>(counts, clusters),
                  clusters);
    index += passed;
    counts += uint64_t{2} * kPerWord;
  }
  return {index, pass.leaked(), pass.leaked_runs()};
}

}  // namespace qcow2::checker

#endif  // CHECKER_USUAL_CLUSTERS_H_
