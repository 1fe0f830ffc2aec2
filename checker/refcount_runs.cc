#include "checker/refcount_runs.h"

#include <algorithm>
#include <array>
#include <bit>
#include <climits>
#include <cstring>

#include "engine/format/byte_order.h"
#include "engine/format/refcount_block.h"
#include "engine/little_endian.h"

namespace qcow2::checker {
namespace {

// Eight bytes as they lie in a block whose counts are all `value`. Counts
// narrower than a byte repeat inside it, so the same holds for them.
uint64_t PatternOf(uint32_t refcount_order, uint64_t value) {
  // A word with the lowest bit of each count set, times the value.
  static constexpr uint64_t kOnes[] = {0xffffffffffffffff, 0x5555555555555555,
                                       0x1111111111111111, 0x0101010101010101,
                                       0x0001000100010001, 0x0000000100000001,
                                       0x0000000000000001};
  const uint64_t word = kOnes[refcount_order] * value;
  std::array<std::byte, 8> bytes;
  StoreBe64(bytes.data(), word);
  uint64_t pattern;
  std::memcpy(&pattern, bytes.data(), sizeof(pattern));
  return pattern;
}

// How many 8-byte words from `bytes` on, at most `limit`, equal `pattern`.
uint64_t LikeWords(const std::byte* bytes, uint64_t limit, uint64_t pattern) {
  constexpr uint64_t kBlock = 16;
  uint64_t n = 0;
  while (n + kBlock <= limit) {
    uint64_t words[kBlock];
    std::memcpy(words, bytes + n * 8, sizeof(words));
    uint64_t difference = 0;
    for (const uint64_t word : words) difference |= word ^ pattern;
    if (difference != 0) break;
    n += kBlock;
  }
  for (; n < limit; ++n) {
    uint64_t word;
    std::memcpy(&word, bytes + n * 8, sizeof(word));
    if (word != pattern) break;
  }
  return n;
}

}  // namespace

uint64_t RefcountRunEnd(std::span<const std::byte> block,
                        uint32_t refcount_order, uint64_t index, uint64_t limit,
                        uint64_t value) {
  const uint64_t per_word = uint64_t{64} >> refcount_order;
  const auto like = [&](uint64_t i) {
    return GetRefcount(block, refcount_order, i) == value;
  };
  while (index < limit && index % per_word != 0) {
    if (!like(index)) return index;
    ++index;
  }
  if (index + per_word <= limit) {
    const std::byte* word = block.data() + index / per_word * 8;
    index += per_word * LikeWords(word, (limit - index) / per_word,
                                  PatternOf(refcount_order, value));
  }
  while (index < limit && like(index)) ++index;
  return index;
}

OnesOfABit CountOnesOfABit(std::span<const std::byte> block, uint64_t index,
                           uint64_t limit) {
  constexpr uint64_t kPerWord = 64;
  OnesOfABit ones;
  uint64_t before = 0;  // the count in front of the word
  while (index < limit) {
    const uint64_t first = index / kPerWord * kPerWord;
    const uint64_t end = std::min(limit, first + kPerWord);
    // The count of the lowest index becomes the lowest bit.
    uint64_t word = LoadLe64(block.data() + first / CHAR_BIT);
    word &= ~uint64_t{0} << (index - first);
    word &= ~uint64_t{0} >> (first + kPerWord - end);
    ones.counts += static_cast<uint64_t>(std::popcount(word));
    ones.runs +=
        static_cast<uint64_t>(std::popcount(word & ~(word << 1 | before)));
    if (word != 0) {
      ones.last =
          first + kPerWord - 1 - static_cast<uint64_t>(std::countl_zero(word));
    }
    before = word >> (kPerWord - 1);
    index = end;
  }
  return ones;
}

}  // namespace qcow2::checker
