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

uint32_t EndOfLikeCodes(const uint64_t* words, uint32_t index, uint32_t limit) {
  const uint64_t pattern = CodeAt(words, index) * kEachCode;
  uint32_t word = index / kCodesPerWord;
  uint64_t difference =
      (words[word] ^ pattern) >> (index % kCodesPerWord * 4)
                                     << (index % kCodesPerWord * 4);
  const uint32_t end = (limit + kCodesPerWord - 1) / kCodesPerWord;
  while (difference == 0 && ++word < end) difference = words[word] ^ pattern;
  if (difference == 0) return limit;
  const int same = std::countr_zero(difference) / 4;
  return std::min(limit, word * kCodesPerWord + static_cast<uint32_t>(same));
}

namespace {

// A set of the clusters of one word: bit 4i stands for the i-th.
using ClusterBits = uint64_t;

uint64_t Members(ClusterBits bits) {
  // Up to two of them in each byte; multiplied, they add up in the highest.
  constexpr uint64_t kEachByte = 0x0101010101010101;
  return ((bits & kEachByte) + (bits >> 4 & kEachByte)) * kEachByte >> 56;
}

// What the counts of the clusters of one word are.
struct StoredCounts {
  ClusterBits ones = 0;
  ClusterBits others = 0;  // neither 0 nor 1
};

StoredCounts CountsAt(const std::byte* counts, uint32_t clusters) {
  StoredCounts stored;
  for (uint64_t i = 0; i < clusters; ++i) {
    const uint64_t count = LoadBe16(counts + i * 2);
    stored.ones |= uint64_t{count == 1} << (i * 4);
    stored.others |= uint64_t{count > 1} << (i * 4);
  }
  return stored;
}

// The same for a whole word, four counts at a time.
StoredCounts CountsAt(const std::byte* counts) {
  // Multiplied with the second, bits 0, 16, 32 and 48 meet as bits 48, 52, 56
  // and 60; the other products fall below or overflow.
  constexpr uint64_t kOnes = 0x0001000100010001;
  constexpr uint64_t kGather = uint64_t{1} << 48 | uint64_t{1} << 36 |
                               uint64_t{1} << 24 | uint64_t{1} << 12;
  StoredCounts stored;
  uint64_t others = 0;
  for (uint64_t i = 0; i < kCodesPerWord; i += 4) {
    // The first byte in the low bits: the bit of a one is bit 8 of its count.
    const uint64_t four = LoadLe64(counts + i * 2);
    others |= four & ~(kOnes << 8);
    stored.ones |= ((four >> 8 & kOnes) * kGather >> 48) << (i * 4);
  }
  return others == 0 ? stored : CountsAt(counts, kCodesPerWord);
}

// Goes on word by word, or with fewer clusters at the end.
class UsualPass {
 public:
  explicit UsualPass(bool pass_leaks) : pass_leaks_(pass_leaks) {}

  // Returns how many of the `clusters` clusters are passed; the others' bits
  // must be 0.
  uint32_t Pass(uint64_t codes, const StoredCounts& stored, uint32_t clusters) {
    const ClusterBits odd = (codes >> 2 | codes >> 3) & kEachCode;
    const ClusterBits used = (codes | codes >> 1) & kEachCode;
    ClusterBits leaked = stored.ones & ~used & ~odd;
    ClusterBits stop = odd | stored.others | (stored.ones ^ used);
    if (pass_leaks_ && !(first_ && (leaked & 1) != 0)) stop &= ~leaked;
    first_ = false;
    uint32_t passed = clusters;
    if (stop != 0) {
      passed = static_cast<uint32_t>(std::countr_zero(stop)) / 4;
      leaked &= (stop & (0 - stop)) - 1;
    }
    CountLeaked(leaked);
    return passed;
  }

  uint64_t leaked() const { return leaked_; }
  uint64_t leaked_runs() const { return leaked_runs_; }

 private:
  void CountLeaked(ClusterBits leaked) {
    leaked_ += Members(leaked);
    leaked_runs_ += Members(leaked & ~(leaked << 4 | last_leaked_));
    last_leaked_ = leaked >> 60;
  }

  const bool pass_leaks_;
  bool first_ = true;
  uint64_t last_leaked_ = 0;  // 1 if the last cluster of the last word was
  uint64_t leaked_ = 0;
  uint64_t leaked_runs_ = 0;
};

}  // namespace

UsualClusters PassUsualCodes(const uint64_t* words, uint32_t begin,
                             uint32_t end, const std::byte* counts,
                             bool pass_leaks) {
  UsualPass pass(pass_leaks);
  uint32_t index = begin;
  const uint32_t shift = begin % kCodesPerWord * 4;
  uint32_t passed = kCodesPerWord;
  while (passed == kCodesPerWord && index + kCodesPerWord <= end) {
    const uint64_t* word = words + index / kCodesPerWord;
    uint64_t codes = *word >> shift;
    if (shift != 0) codes |= word[1] << (64 - shift);
    passed = pass.Pass(codes, CountsAt(counts), kCodesPerWord);
    index += passed;
    counts += uint64_t{2} * kCodesPerWord;
  }
  if (passed == kCodesPerWord && index < end) {
    const uint32_t clusters = end - index;
    uint64_t codes = 0;
    for (uint32_t i = 0; i < clusters; ++i) {
      codes |= uint64_t{CodeAt(words, index + i)} << (i * 4);
    }
    index += pass.Pass(codes, CountsAt(counts, clusters), clusters);
  }
  return {index, pass.leaked(), pass.leaked_runs()};
}

}  // namespace qcow2::checker
