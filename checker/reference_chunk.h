// Who refers to which of a few ten thousand consecutive host clusters: a part
// of the reference map, which has the forms these counts are held in.
//
// In memory only. Not thread-safe.
#ifndef CHECKER_REFERENCE_CHUNK_H_
#define CHECKER_REFERENCE_CHUNK_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "checker/coded_cells.h"
#include "checker/reference_cell.h"
#include "checker/usual_bits.h"

namespace qcow2::checker {

// A chunk: the cells of kClusters clusters.
class ReferenceChunk {
 public:
  static constexpr uint32_t kClusters = 32768;

  ReferenceChunk() : runs_{{0, {}}} {}

  // Adds `weight` references to each cluster of [begin, end).
  void Add(uint32_t begin, uint32_t end, uint64_t weight, uint32_t flags);
  // For those who add millions: a bit a cluster, to be set for a usual
  // reference where it is not; or four-bit codes, sixteen a word, the first in
  // the low bits. Null in other forms; good until the next Add.
  uint64_t* bits() { return bits_.empty() ? nullptr : bits_.data(); }
  uint64_t* codes() { return codes_.empty() ? nullptr : codes_.data(); }

  ReferenceCell At(uint32_t index) const;
  // The end of the run of cells like the one at `index`, at most `limit`.
  uint32_t RunEnd(uint32_t index, uint32_t limit) const;
  // How far, at most to `end`, the clusters from `begin` on are as usual; may
  // stop early. As ReferenceMap::PassUsual says.
  UsualClusters PassUsual(uint32_t begin, uint32_t end, const std::byte* counts,
                          bool pass_leaks) const;
  uint64_t MemoryBytes() const;

 private:
  struct Run {
    uint32_t begin;
    ReferenceCell cell;
  };
  // How cells are held: as runs; as runs, and bits for the clusters with one
  // usual reference more than their run says; as an array of four-bit codes,
  // sixteen a word, for the cells that real images are made of; or as an array
  // of words of 8, 16 or 64 bits with the flags in the low kFlagBits and the
  // count above.
  enum class Form { kRuns, kRunsAndBits, kCodes, kBytes, kHalfwords, kWords };
  static constexpr int kFlagBits = 4;
  static constexpr uint32_t kFlagMask = (1u << kFlagBits) - 1;
  // Beyond this many runs an array is smaller or faster.
  static constexpr size_t kMaxRuns = 64;

  void AddToRuns(uint32_t begin, uint32_t end, uint64_t weight, uint32_t flags);
  // Makes neighbours among runs [first, last) one where they are alike.
  void JoinRuns(size_t first, size_t last);
  // Index in runs_ of the run that holds `index`.
  size_t FindRun(uint32_t index) const;
  // The end of that run, at most `limit`.
  uint32_t EndOfRun(uint32_t index, uint32_t limit) const;
  // Makes a run begin at `index`; returns its place in runs_.
  size_t SplitAt(uint32_t index);
  // These go as far as the form can hold the sums, moving `begin`; false if
  // something is left for a wider form.
  bool AddToRunsAndBits(uint32_t& begin, uint32_t end, uint64_t weight,
                        uint32_t flags);
  bool AddToCodes(uint32_t& begin, uint32_t end, uint64_t weight,
                  uint32_t flags);
  template <typename Word>
  bool AddToArray(std::vector<Word>& cells, uint32_t& begin, uint32_t end,
                  uint64_t weight, uint32_t flags);
  // There are more than kMaxRuns: these make another form of them.
  void MoveRunsToBits();
  void ConvertToCodes();
  void WidenCodes();
  template <typename From, typename To>
  static void Widen(std::vector<From>& from, std::vector<To>& to);
  template <typename Word>
  static ReferenceCell Decode(Word word) {
    return {static_cast<uint64_t>(word) >> kFlagBits,
            static_cast<uint32_t>(word & kFlagMask)};
  }

  Form form_ = Form::kRuns;
  std::vector<Run> runs_;
  std::vector<uint64_t> bits_;
  std::vector<uint64_t> codes_;
  std::vector<uint8_t> bytes_;
  std::vector<uint16_t> halfwords_;
  std::vector<uint64_t> words_;
};

}  // namespace qcow2::checker

#endif  // CHECKER_REFERENCE_CHUNK_H_
