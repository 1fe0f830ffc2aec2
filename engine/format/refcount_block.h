// The counts of a refcount block.
//
// Pure, no I/O. A block fills one cluster with counts of 2^refcount_order
// bits, one a host cluster:
//
//   order  width    place of count i
//   0..2   1,2,4    byte i * width / 8; the first count of a byte is in its
//                   least significant bits
//   3      8        byte i
//   4..6   16..64   big-endian at byte i * width / 8
#ifndef ENGINE_FORMAT_REFCOUNT_BLOCK_H_
#define ENGINE_FORMAT_REFCOUNT_BLOCK_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace qcow2 {

// Counts in a block of `block_bytes`, at that refcount_order (0..6).
constexpr uint64_t RefcountsIn(uint64_t block_bytes, uint32_t refcount_order) {
  return refcount_order <= 3 ? block_bytes << (3 - refcount_order)
                             : block_bytes >> (refcount_order - 3);
}

// Count `index` of `block`. REQUIRES: refcount_order in 0..6 and
// index < RefcountsIn(block.size(), refcount_order).
uint64_t GetRefcount(std::span<const std::byte> block, uint32_t refcount_order,
                     uint64_t index);

// Writes count `index` of `block` and no other bit. REQUIRES: as above, and
// `value` fits the width.
void SetRefcount(std::span<std::byte> block, uint32_t refcount_order,
                 uint64_t index, uint64_t value);

}  // namespace qcow2

#endif  // ENGINE_FORMAT_REFCOUNT_BLOCK_H_
