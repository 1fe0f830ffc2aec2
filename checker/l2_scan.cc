#include "checker/l2_scan.h"

#include <array>
#include <cstring>

#include "checker/vector_clones.h"
#include "engine/little_endian.h"

namespace qcow2::checker {
namespace {

// Compares entries a block at a time before looking whether one differed.
template <uint64_t kBlock>
[[gnu::always_inline]] inline uint64_t AscendingBlocks(const std::byte* entry,
                                                       uint64_t n,
                                                       uint64_t limit,
                                                       uint64_t first_value,
                                                       uint64_t step) {
  while (n + kBlock <= limit) {
    uint64_t difference = 0;
    for (uint64_t k = 0; k < kBlock; ++k) {
      uint64_t word;
      std::memcpy(&word, entry + (n + k) * 8, sizeof(word));
      difference |= __builtin_bswap64(word) ^ (first_value + (n + k) * step);
    }
    if (difference != 0) break;
    n += kBlock;
  }
  return n;
}

QCOW2_VECTOR_CLONES
uint64_t AscendingWords(const std::byte* entry, uint64_t limit,
                        uint64_t first_value, uint64_t step) {
  // Large blocks for the long runs of a regular image, small ones for what is
  // left of them and for short runs.
  uint64_t n = AscendingBlocks<8>(entry, 0, std::min<uint64_t>(limit, 32),
                                  first_value, step);
  if (n == 32) n = AscendingBlocks<32>(entry, n, limit, first_value, step);
  n = AscendingBlocks<8>(entry, n, limit, first_value, step);
  while (n < limit && LoadBe64(entry + n * 8) == first_value + n * step) ++n;
  return n;
}

}  // namespace

uint64_t AscendingEntries(const std::byte* entry, uint64_t stride,
                          uint64_t limit, uint64_t first_value, uint64_t step) {
  if (stride == 8) return AscendingWords(entry, limit, first_value, step);
  uint64_t n = 0;
  while (n < limit && LoadBe64(entry + n * stride) == first_value + n * step) {
    ++n;
  }
  return n;
}

QCOW2_VECTOR_CLONES
uint64_t AscendingPairs(const std::byte* entry, uint64_t pairs, uint64_t step) {
  // One byte a pair at first, since vectors are good at that.
  std::array<std::byte, 64> ascends{};
  for (uint64_t i = 0; i < pairs; ++i) {
    ascends[i] = std::byte{LoadBe64(entry + i * 8) + step ==
                           LoadBe64(entry + i * 8 + 8)};
  }
  uint64_t bits = 0;
  for (uint64_t i = 0; i < ascends.size(); i += 8) {
    // Multiplied, the lowest bits of all eight bytes meet in the highest byte.
    const uint64_t bytes = LoadLe64(ascends.data() + i);
    bits |= (bytes * 0x0102040810204080 >> 56) << i;
  }
  return bits;
}

namespace l2_scan_internal {

QCOW2_VECTOR_CLONES
uint64_t LoneEntries(const std::byte* entry, uint64_t entries,
                     const RegularEntries& regular, uint64_t step) {
  constexpr uint64_t kBlock = 16;
  uint64_t n = 0;
  // The last one would have none behind it.
  for (; n + kBlock < entries; n += kBlock) {
    uint64_t others = 0;
    for (uint64_t i = 0; i < kBlock; ++i) {
      const uint64_t raw = LoadBe64(entry + (n + i) * 8);
      const uint64_t next = LoadBe64(entry + (n + i + 1) * 8);
      const uint64_t ahead = (next & kL2OffsetMask) - (raw & kL2OffsetMask);
      others |= regular.Misfit(raw) | (ahead == step ? 1 : 0);
    }
    if (others != 0) break;
  }
  return n;
}

}  // namespace l2_scan_internal

uint64_t LeadingZeroBytes(const std::byte* bytes, uint64_t limit) {
  uint64_t n = 0;
  constexpr uint64_t kStride = 64;
  while (n + kStride <= limit) {
    uint64_t words[kStride / 8];
    std::memcpy(words, bytes + n, kStride);
    uint64_t any = 0;
    for (const uint64_t word : words) any |= word;
    if (any != 0) break;
    n += kStride;
  }
  while (n + 8 <= limit && LoadBe64(bytes + n) == 0) n += 8;
  return n;
}

}  // namespace qcow2::checker
