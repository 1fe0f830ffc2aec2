#include "checker/usual_bits.h"

#include <algorithm>
#include <array>
#include <bit>

#include "checker/vector_clones.h"
#include "engine/format/byte_order.h"
#include "engine/little_endian.h"

namespace qcow2::checker {

uint32_t SetBits(uint64_t* words, uint32_t begin, uint32_t end) {
  while (begin < end) {
    const uint32_t base = begin / kBitsPerWord * kBitsPerWord;
    const uint32_t stop = std::min(end, base + kBitsPerWord);
    uint64_t& word = words[base / kBitsPerWord];
    const uint64_t mask = ~uint64_t{0} >> (kBitsPerWord - (stop - begin))
                                              << (begin - base);
    const uint64_t taken = word & mask;
    if (taken != 0) {
      word |= mask & ((taken & (0 - taken)) - 1);
      return base + static_cast<uint32_t>(std::countr_zero(taken));
    }
    word |= mask;
    begin = stop;
  }
  return end;
}

namespace {

// The counts of a whole word.
QCOW2_VECTOR_CLONES
CountSets CountsOfWord(const std::byte* counts) {
  // One byte a count at first, since vectors are good at that.
  std::array<std::byte, kBitsPerWord> ones;
  uint32_t others = 0;
  for (uint64_t i = 0; i < kBitsPerWord; ++i) {
    const uint16_t count = LoadBe16(counts + i * 2);
    ones[i] = static_cast<std::byte>(count & 1);
    others |= count & ~1u;
  }
  if (others != 0) return CountsAt<1>(counts, kBitsPerWord);
  CountSets stored;
  for (uint64_t i = 0; i < kBitsPerWord; i += 8) {
    // Multiplied, the lowest bits of all eight bytes meet in the highest byte.
    const uint64_t bytes = LoadLe64(ones.data() + i);
    stored.ones |= (bytes * 0x0102040810204080 >> 56) << i;
  }
  return stored;
}

}  // namespace

UsualClusters PassUsualBits(const uint64_t* words, uint32_t begin, uint32_t end,
                            const std::byte* counts, bool pass_leaks) {
  return PassUsualCells<1>(
      words, begin, end, counts, pass_leaks,
      [](uint64_t bits) { return CellSets{.used = bits}; }, CountsOfWord);
}

}  // namespace qcow2::checker
