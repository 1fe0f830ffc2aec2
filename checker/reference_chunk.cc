#include "checker/reference_chunk.h"

#include <algorithm>
#include <limits>

namespace qcow2::checker {

void ReferenceChunk::Add(uint32_t begin, uint32_t end, uint64_t weight,
                         uint32_t flags) {
  if (form_ == Form::kRuns) {
    AddToRuns(begin, end, weight, flags);
    if (runs_.size() > kMaxRuns) MoveRunsToBits();
    return;
  }
  // Each form goes as far as it can; what is left goes on in the next one.
  if (form_ == Form::kRunsAndBits &&
      !AddToRunsAndBits(begin, end, weight, flags)) {
    ConvertToCodes();
  }
  if (form_ == Form::kCodes && !AddToCodes(begin, end, weight, flags)) {
    WidenCodes();
  }
  if (form_ == Form::kBytes && !AddToArray(bytes_, begin, end, weight, flags)) {
    Widen(bytes_, halfwords_);
    form_ = Form::kHalfwords;
  }
  if (form_ == Form::kHalfwords &&
      !AddToArray(halfwords_, begin, end, weight, flags)) {
    Widen(halfwords_, words_);
    form_ = Form::kWords;
  }
  if (form_ == Form::kWords) AddToArray(words_, begin, end, weight, flags);
}

size_t ReferenceChunk::FindRun(uint32_t index) const {
  const auto after = std::upper_bound(
      runs_.begin(), runs_.end(), index,
      [](uint32_t value, const Run& run) { return value < run.begin; });
  return static_cast<size_t>(after - runs_.begin()) - 1;
}

size_t ReferenceChunk::SplitAt(uint32_t index) {
  if (index >= kClusters) return runs_.size();
  const size_t place = FindRun(index);
  if (runs_[place].begin == index) return place;
  runs_.insert(runs_.begin() + place + 1, Run{index, runs_[place].cell});
  return place + 1;
}

void ReferenceChunk::AddToRuns(uint32_t begin, uint32_t end, uint64_t weight,
                               uint32_t flags) {
  const size_t first = SplitAt(begin);
  size_t last = SplitAt(end);
  for (size_t i = first; i < last; ++i) {
    runs_[i].cell = SumOf(runs_[i].cell, weight, flags);
  }
  // Only the touched runs and their neighbours can have become alike.
  JoinRuns(first == 0 ? 0 : first - 1, std::min(last + 1, runs_.size()));
}

void ReferenceChunk::JoinRuns(size_t first, size_t last) {
  const auto alike = [](const Run& a, const Run& b) {
    return a.cell == b.cell;
  };
  const auto kept =
      std::unique(runs_.begin() + first, runs_.begin() + last, alike);
  runs_.erase(kept, runs_.begin() + last);
}

bool ReferenceChunk::AddToRunsAndBits(uint32_t& begin, uint32_t end,
                                      uint64_t weight, uint32_t flags) {
  if (!IsUsualReference(weight, flags)) {
    AddToRuns(begin, end, weight, flags);
    begin = end;
    return runs_.size() <= kMaxRuns;
  }
  while ((begin = SetBits(bits_.data(), begin, end)) < end) {
    // These have one already.
    const uint32_t stop = EndOfLikeCells<1>(bits_.data(), begin, end);
    AddToRuns(begin, stop, weight, flags);
    begin = stop;
    if (runs_.size() > kMaxRuns) return false;
  }
  return true;
}

void ReferenceChunk::MoveRunsToBits() {
  bits_.assign(kClusters / kBitsPerWord, 0);
  form_ = Form::kRunsAndBits;
  for (size_t i = 0; i < runs_.size(); ++i) {
    if (runs_[i].cell != kUsualReference) continue;
    SetBits(bits_.data(), runs_[i].begin,
            i + 1 < runs_.size() ? runs_[i + 1].begin : kClusters);
    runs_[i].cell = {};
  }
  JoinRuns(0, runs_.size());
  if (runs_.size() > kMaxRuns) ConvertToCodes();
}

void ReferenceChunk::ConvertToCodes() {
  codes_.assign(kClusters / kCodesPerWord, 0);
  form_ = Form::kCodes;
  std::vector<Run> runs;
  runs.swap(runs_);
  for (size_t i = 0; i < runs.size(); ++i) {
    const uint32_t end = i + 1 < runs.size() ? runs[i + 1].begin : kClusters;
    const ReferenceCell cell = runs[i].cell;
    // Added to nothing, a cell is what it was.
    if (cell.count > 0) Add(runs[i].begin, end, cell.count, cell.flags);
  }
  std::vector<uint64_t> bits;
  bits.swap(bits_);
  uint32_t begin = 0;
  while (begin < kClusters) {
    const uint32_t end = EndOfLikeCells<1>(bits.data(), begin, kClusters);
    if (BitAt(bits.data(), begin)) {
      Add(begin, end, kUsualReference.count, kUsualReference.flags);
    }
    begin = end;
  }
}

bool ReferenceChunk::AddToCodes(uint32_t& begin, uint32_t end, uint64_t weight,
                                uint32_t flags) {
  if (!HasCodeSums(weight) || flags >= kCodeFlags) return begin >= end;
  begin =
      checker::AddToCodes(codes_.data(), begin, end, CodeSumsOf(weight)[flags]);
  return begin >= end;
}

void ReferenceChunk::WidenCodes() {
  bytes_.resize(kClusters);
  for (uint32_t i = 0; i < kClusters; ++i) {
    const ReferenceCell& cell = kCodedCells[CellAt<4>(codes_.data(), i)];
    bytes_[i] = static_cast<uint8_t>(cell.count << kFlagBits | cell.flags);
  }
  std::vector<uint64_t>().swap(codes_);
  form_ = Form::kBytes;
}

template <typename Word>
bool ReferenceChunk::AddToArray(std::vector<Word>& cells, uint32_t& begin,
                                uint32_t end, uint64_t weight, uint32_t flags) {
  constexpr uint64_t kMaxCount =
      sizeof(Word) == 8 ? kMaxReferences
                        : std::numeric_limits<Word>::max() >> kFlagBits;
  for (; begin < end; ++begin) {
    const ReferenceCell sum = SumOf(Decode(cells[begin]), weight, flags);
    if (sum.count > kMaxCount) return false;
    cells[begin] = static_cast<Word>(sum.count << kFlagBits | sum.flags);
  }
  return true;
}

template <typename From, typename To>
void ReferenceChunk::Widen(std::vector<From>& from, std::vector<To>& to) {
  to.assign(from.begin(), from.end());
  std::vector<From>().swap(from);
}

ReferenceCell ReferenceChunk::At(uint32_t index) const {
  switch (form_) {
    case Form::kRuns:
      return runs_[FindRun(index)].cell;
    case Form::kRunsAndBits: {
      const ReferenceCell cell = runs_[FindRun(index)].cell;
      if (!BitAt(bits_.data(), index)) return cell;
      return SumOf(cell, kUsualReference.count, kUsualReference.flags);
    }
    case Form::kCodes:
      return kCodedCells[CellAt<4>(codes_.data(), index)];
    case Form::kBytes:
      return Decode(bytes_[index]);
    case Form::kHalfwords:
      return Decode(halfwords_[index]);
    case Form::kWords:
      return Decode(words_[index]);
  }
  return {};
}

namespace {

// The first place from `index` on whose word differs from the one at `index`.
template <typename Word>
uint32_t EndOfLike(const std::vector<Word>& words, uint32_t index,
                   uint32_t limit) {
  const Word word = words[index];
  constexpr uint32_t kStride = 64;
  uint32_t i = index + 1;
  while (i + kStride <= limit) {
    Word difference = 0;
    for (uint32_t k = 0; k < kStride; ++k) difference |= words[i + k] ^ word;
    if (difference != 0) break;
    i += kStride;
  }
  while (i < limit && words[i] == word) ++i;
  return i;
}

}  // namespace

uint32_t ReferenceChunk::EndOfRun(uint32_t index, uint32_t limit) const {
  const size_t next = FindRun(index) + 1;
  return next < runs_.size() ? std::min(runs_[next].begin, limit) : limit;
}

uint32_t ReferenceChunk::RunEnd(uint32_t index, uint32_t limit) const {
  switch (form_) {
    case Form::kRuns:
      return EndOfRun(index, limit);
    case Form::kRunsAndBits:
      return EndOfLikeCells<1>(bits_.data(), index, EndOfRun(index, limit));
    case Form::kCodes:
      return EndOfLikeCells<4>(codes_.data(), index, limit);
    case Form::kBytes:
      return EndOfLike(bytes_, index, limit);
    case Form::kHalfwords:
      return EndOfLike(halfwords_, index, limit);
    case Form::kWords:
      return EndOfLike(words_, index, limit);
  }
  return limit;
}

UsualClusters ReferenceChunk::PassUsual(uint32_t begin, uint32_t end,
                                        const std::byte* counts,
                                        bool pass_leaks) const {
  if (form_ == Form::kCodes) {
    return PassUsualCodes(codes_.data(), begin, end, counts, pass_leaks);
  }
  if (form_ == Form::kRunsAndBits &&
      runs_[FindRun(begin)].cell == ReferenceCell{}) {
    return PassUsualBits(bits_.data(), begin, EndOfRun(begin, end), counts,
                         pass_leaks);
  }
  return {.end = begin};
}

uint64_t ReferenceChunk::MemoryBytes() const {
  return sizeof(ReferenceChunk) + runs_.capacity() * sizeof(Run) +
         (bits_.capacity() + codes_.capacity()) * sizeof(uint64_t) +
         bytes_.capacity() + halfwords_.capacity() * sizeof(uint16_t) +
         words_.capacity() * sizeof(uint64_t);
}

}  // namespace qcow2::checker
