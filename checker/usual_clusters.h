// Passing over clusters that are as they usually are, a word of them at a time.
//
// Pure: works on words in memory. A template, because words hold a cluster in
// one bit or in four.
#ifndef CHECKER_USUAL_CLUSTERS_H_
#define CHECKER_USUAL_CLUSTERS_H_

#include <bit>
#include <cstddef>
#include <cstdint>

#include "engine/format/byte_order.h"

namespace qcow2::checker {

// Clusters that need no closer look.
struct UsualClusters {
  uint64_t end = 0;          // behind the last one
  uint64_t leaked = 0;       // those that nothing refers to, with a count of 1
  uint64_t leaked_runs = 0;  // the runs these make
};

// Goes on word by word, or with fewer clusters at the end. All words that are
// passed to it are sets: the lowest of the kWidth bits of each cluster says
// whether it belongs, the others are 0.
template <int kWidth>
class UsualPass {
 public:
  static constexpr uint32_t kClustersPerWord = 64 / kWidth;

  // What the refcounts of the clusters of one word are.
  struct StoredCounts {
    uint64_t ones = 0;
    uint64_t others = 0;  // neither 0 nor 1
  };

  // Those of `clusters` clusters, big-endian counts of 16 bits from `counts`
  // on.
  static StoredCounts CountsAt(const std::byte* counts, uint32_t clusters) {
    StoredCounts stored;
    for (uint64_t i = 0; i < clusters; ++i) {
      const uint64_t count = LoadBe16(counts + i * 2);
      stored.ones |= uint64_t{count == 1} << (i * kWidth);
      stored.others |= uint64_t{count > 1} << (i * kWidth);
    }
    return stored;
  }

  // With `pass_leaks` leaked clusters are gone past and counted, too, but for
  // one that is the first of all, since it may belong to a run before it.
  explicit UsualPass(bool pass_leaks) : pass_leaks_(pass_leaks) {}

  // Returns how many of the `clusters` clusters are passed; the others' bits
  // must be 0. `used`: those with one reference; `odd`: those to stop at.
  uint32_t Pass(uint64_t used, uint64_t odd, const StoredCounts& stored,
                uint32_t clusters) {
    uint64_t leaked = stored.ones & ~used & ~odd;
    uint64_t stop = odd | stored.others | (stored.ones ^ used);
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

}  // namespace qcow2::checker

#endif  // CHECKER_USUAL_CLUSTERS_H_
