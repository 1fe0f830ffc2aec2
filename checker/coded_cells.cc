#include "checker/coded_cells.h"

#include <algorithm>
#include <bit>

#include "engine/format/byte_order.h"
#include "engine/little_endian.h"

namespace qcow2::checker {
namespace {

constexpr uint8_t CodeOf(const ReferenceCell& cell) {
  for (uint32_t code = 0; code < std::size(kCodedCells); ++code) {
    if (kCodedCells[code] == cell) return static_cast<uint8_t>(code);
  }
  return kNoCode;
}

constexpr std::array<CodeSumsByFlags, kMaxCodeWeight> MakeCodeSums() {
  std::array<CodeSumsByFlags, kMaxCodeWeight> sums{};
  for (uint64_t weight = 1; weight <= kMaxCodeWeight; ++weight) {
    for (uint32_t flags = 0; flags < kCodeFlags; ++flags) {
      for (uint32_t code = 0; code < std::size(kCodedCells); ++code) {
        sums[weight - 1][flags][code] =
            CodeOf(SumOf(kCodedCells[code], weight, flags));
      }
    }
  }
  return sums;
}
constexpr auto kCodeSums = MakeCodeSums();

}  // namespace

const CodeSumsByFlags& CodeSumsOf(uint64_t weight) {
  return kCodeSums[weight - 1];
}

uint32_t AddToCodes(uint64_t* words, uint32_t begin, uint32_t end,
                    const CodeSums& sums) {
  while (begin < end) {
    const uint32_t base = begin / kCodesPerWord * kCodesPerWord;
    const uint32_t stop = std::min(end, base + kCodesPerWord);
    uint64_t& word = words[base / kCodesPerWord];
    const uint64_t mask = ~uint64_t{0} >> (64 - (stop - begin) * 4)
                                              << ((begin - base) * 4);
    // Untouched clusters are the usual case of a range.
    if ((word & mask) == 0 && sums[0] != kNoCode) {
      word |= sums[0] * kEachCode & mask;
      begin = stop;
      continue;
    }
    for (; begin < stop; ++begin) {
      if (!AddToCode(word, begin, sums)) return begin;
    }
  }
  return end;
}

namespace {

// The counts of a whole word, four at a time.
CountSets CountsOfWord(const std::byte* counts) {
  // Multiplied with the second, bits 0, 16, 32 and 48 meet as bits 48, 52, 56
  // and 60; the other products fall below or overflow.
  constexpr uint64_t kOnes = 0x0001000100010001;
  constexpr uint64_t kGather = uint64_t{1} << 48 | uint64_t{1} << 36 |
                               uint64_t{1} << 24 | uint64_t{1} << 12;
  CountSets stored;
  uint64_t others = 0;
  for (uint64_t i = 0; i < kCodesPerWord; i += 4) {
    // The first byte in the low bits: the bit of a one is bit 8 of its count.
    const uint64_t four = LoadLe64(counts + i * 2);
    others |= four & ~(kOnes << 8);
    stored.ones |= ((four >> 8 & kOnes) * kGather >> 48) << (i * 4);
  }
  return others == 0 ? stored : CountsAt<4>(counts, kCodesPerWord);
}

CellSets SetsOf(uint64_t codes) {
  return {.used = (codes | codes >> 1) & kEachCode,
          .odd = (codes >> 2 | codes >> 3) & kEachCode};
}

}  // namespace

UsualClusters PassUsualCodes(const uint64_t* words, uint32_t begin,
                             uint32_t end, const std::byte* counts,
                             bool pass_leaks) {
  return PassUsualCells<4>(words, begin, end, counts, pass_leaks, SetsOf,
                           CountsOfWord);
}

}  // namespace qcow2::checker
