// Runs of like refcounts in the bytes of a refcount block, at every width.
//
// Pure: works on bytes in memory.
#ifndef CHECKER_REFCOUNT_RUNS_H_
#define CHECKER_REFCOUNT_RUNS_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace qcow2::checker {

// The index behind the run of counts equal to `value` that begins at `index`,
// at most `limit`; `index` itself if the count there differs. `block` is a
// refcount block (or a stretch of one) with counts of 1 << refcount_order bits.
uint64_t RefcountRunEnd(std::span<const std::byte> block,
                        uint32_t refcount_order, uint64_t index, uint64_t limit,
                        uint64_t value);

// Counts that are set among some of 1 bit.
struct OnesOfABit {
  uint64_t counts = 0;
  uint64_t runs = 0;
  uint64_t last = 0;  // index of the last one; of no meaning without any
};

// Those of the counts [index, limit) of a block with 1-bit counts.
OnesOfABit CountOnesOfABit(std::span<const std::byte> block, uint64_t index,
                           uint64_t limit);

}  // namespace qcow2::checker

#endif  // CHECKER_REFCOUNT_RUNS_H_
