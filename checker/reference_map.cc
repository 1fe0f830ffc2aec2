#include "checker/reference_map.h"

#include <algorithm>
#include <array>
#include <bit>
#include <iterator>
#include <limits>

#include "engine/format/byte_order.h"

namespace qcow2::checker {
namespace {

// ---- Four-bit codes ---------------------------------------------------------

// The cells that images are made of; any other makes a chunk go over to bytes.
// Code 0 must be the empty cell. The first four are those that need no second
// look if the refcount agrees: then the code is not 0 where the count is 1.
constexpr ReferenceCell kCodedCells[] = {
    {0, 0},
    {1, kReferenceCopied},
    {1, 0},
    {1, kReferenceMetadata | kReferenceCopied},
    {1, kReferenceMetadata},
    {1, kReferenceNotCopied},
    {1, kReferenceMetadata | kReferenceNotCopied},
    {2, kReferenceNotCopied},
    {2, kReferenceMetadata | kReferenceNotCopied},
    {2, 0},
    {2, kReferenceMetadata},
    {2, kReferenceCopied},
    {3, kReferenceNotCopied},
    {3, 0},
    {3, kReferenceMetadata | kReferenceNotCopied},
    {4, 0},
};
constexpr uint32_t kCodes = 16;
static_assert(std::size(kCodedCells) == kCodes);
constexpr uint8_t kNoCode = 0xff;
// Codes in a word, and a word with a one in each of them.
constexpr uint32_t kCodesPerWord = 16;
constexpr uint64_t kEachCode = 0x1111111111111111;

constexpr ReferenceCell SumOf(ReferenceCell cell, uint64_t weight,
                              uint32_t flags) {
  const bool meets =
      cell.count > 0 && ((cell.flags | flags) & kReferenceMetadata) != 0;
  cell.flags |= flags | (meets ? uint32_t{kReferenceOverlap} : 0);
  cell.count = weight > kMaxReferences - cell.count ? kMaxReferences
                                                    : cell.count + weight;
  return cell;
}

constexpr uint8_t CodeOf(const ReferenceCell& cell) {
  for (uint32_t code = 0; code < kCodes; ++code) {
    if (kCodedCells[code].count == cell.count &&
        kCodedCells[code].flags == cell.flags) {
      return static_cast<uint8_t>(code);
    }
  }
  return kNoCode;
}

// The code each code becomes when the same is added to it.
using CodeSums = std::array<uint8_t, kCodes>;

// What may be added to a code without looking further: weights up to 4 with
// any of the three flags that callers give.
constexpr uint64_t kMaxCodeWeight = 4;
constexpr uint32_t kCallerFlags = 8;

constexpr std::array<std::array<CodeSums, kCallerFlags>, kMaxCodeWeight + 1>
MakeCodeSums() {
  std::array<std::array<CodeSums, kCallerFlags>, kMaxCodeWeight + 1> sums{};
  for (uint64_t weight = 1; weight <= kMaxCodeWeight; ++weight) {
    for (uint32_t flags = 0; flags < kCallerFlags; ++flags) {
      for (uint32_t code = 0; code < kCodes; ++code) {
        sums[weight][flags][code] =
            CodeOf(SumOf(kCodedCells[code], weight, flags));
      }
    }
  }
  return sums;
}
constexpr auto kCodeSums = MakeCodeSums();

// Adds to the code of cluster `index` of a chunk in its word; false if there is
// no code for the sum.
bool AddToCode(uint64_t& codes, uint32_t index, const CodeSums& sums) {
  const uint32_t shift = index % kCodesPerWord * 4;
  const uint64_t code = codes >> shift & 15u;
  const uint64_t sum = sums[code];
  if (sum == kNoCode) return false;
  codes ^= (code ^ sum) << shift;
  return true;
}

}  // namespace

// ---- Chunk ------------------------------------------------------------------

ReferenceCell ReferenceMap::Chunk::Sum(ReferenceCell cell, uint64_t weight,
                                       uint32_t flags) {
  return SumOf(cell, weight, flags);
}

void ReferenceMap::Chunk::Add(uint32_t begin, uint32_t end, uint64_t weight,
                              uint32_t flags) {
  if (form_ == Form::kRuns) {
    AddToRuns(begin, end, weight, flags);
    if (runs_.size() > kMaxRuns) ConvertRunsToCodes();
    return;
  }
  // Each array form goes as far as its width allows; what is left goes on in
  // the next wider form.
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

size_t ReferenceMap::Chunk::FindRun(uint32_t index) const {
  const auto after = std::upper_bound(
      runs_.begin(), runs_.end(), index,
      [](uint32_t value, const Run& run) { return value < run.begin; });
  return static_cast<size_t>(after - runs_.begin()) - 1;
}

size_t ReferenceMap::Chunk::SplitAt(uint32_t index) {
  if (index >= kChunkClusters) return runs_.size();
  const size_t place = FindRun(index);
  if (runs_[place].begin == index) return place;
  runs_.insert(runs_.begin() + place + 1, Run{index, runs_[place].cell});
  return place + 1;
}

void ReferenceMap::Chunk::AddToRuns(uint32_t begin, uint32_t end,
                                    uint64_t weight, uint32_t flags) {
  const size_t first = SplitAt(begin);
  size_t last = SplitAt(end);
  for (size_t i = first; i < last; ++i) {
    runs_[i].cell = Sum(runs_[i].cell, weight, flags);
  }
  // Only the touched runs and their neighbours can have become alike.
  const size_t from = first == 0 ? 1 : first;
  last = std::min(last + 1, runs_.size());
  const auto alike = [](const Run& a, const Run& b) {
    return a.cell == b.cell;
  };
  const auto kept =
      std::unique(runs_.begin() + from - 1, runs_.begin() + last, alike);
  runs_.erase(kept, runs_.begin() + last);
}

void ReferenceMap::Chunk::ConvertRunsToCodes() {
  codes_.assign(kChunkClusters / kCodesPerWord, 0);
  form_ = Form::kCodes;
  std::vector<Run> runs;
  runs.swap(runs_);
  for (size_t i = 0; i < runs.size(); ++i) {
    const uint32_t end =
        i + 1 < runs.size() ? runs[i + 1].begin : uint32_t{kChunkClusters};
    const ReferenceCell cell = runs[i].cell;
    // Added to nothing, a cell is what it was.
    if (cell.count > 0) Add(runs[i].begin, end, cell.count, cell.flags);
  }
}

bool ReferenceMap::Chunk::AddToCodes(uint32_t& begin, uint32_t end,
                                     uint64_t weight, uint32_t flags) {
  if (weight > kMaxCodeWeight || flags >= kCallerFlags) return begin >= end;
  const CodeSums& sums = kCodeSums[weight][flags];
  while (begin < end) {
    const uint32_t word = begin / kCodesPerWord * kCodesPerWord;
    const uint32_t stop = std::min(end, word + kCodesPerWord);
    uint64_t& codes = codes_[word / kCodesPerWord];
    const uint64_t mask = ~uint64_t{0} >> (64 - (stop - begin) * 4)
                                              << ((begin - word) * 4);
    // Untouched clusters are the usual case of a range.
    if ((codes & mask) == 0 && sums[0] != kNoCode) {
      codes |= sums[0] * kEachCode & mask;
      begin = stop;
      continue;
    }
    for (; begin < stop; ++begin) {
      if (!AddToCode(codes, begin, sums)) return false;
    }
  }
  return true;
}

void ReferenceMap::Chunk::WidenCodes() {
  bytes_.resize(kChunkClusters);
  for (uint32_t i = 0; i < kChunkClusters; ++i) {
    const ReferenceCell& cell = kCodedCells[CodeAt(i)];
    bytes_[i] = static_cast<uint8_t>(cell.count << kFlagBits | cell.flags);
  }
  std::vector<uint64_t>().swap(codes_);
  form_ = Form::kBytes;
}

template <typename Word>
bool ReferenceMap::Chunk::AddToArray(std::vector<Word>& cells, uint32_t& begin,
                                     uint32_t end, uint64_t weight,
                                     uint32_t flags) {
  constexpr uint64_t kMaxCount =
      sizeof(Word) == 8 ? kMaxReferences
                        : std::numeric_limits<Word>::max() >> kFlagBits;
  for (; begin < end; ++begin) {
    const ReferenceCell sum = Sum(Decode(cells[begin]), weight, flags);
    if (sum.count > kMaxCount) return false;
    cells[begin] = static_cast<Word>(sum.count << kFlagBits | sum.flags);
  }
  return true;
}

template <typename From, typename To>
void ReferenceMap::Chunk::Widen(std::vector<From>& from, std::vector<To>& to) {
  to.assign(from.begin(), from.end());
  std::vector<From>().swap(from);
}

ReferenceCell ReferenceMap::Chunk::At(uint32_t index) const {
  switch (form_) {
    case Form::kRuns:
      return runs_[FindRun(index)].cell;
    case Form::kCodes:
      return kCodedCells[CodeAt(index)];
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

uint32_t ReferenceMap::Chunk::EndOfLikeCodes(uint32_t index,
                                             uint32_t limit) const {
  const uint64_t pattern = CodeAt(index) * kEachCode;
  uint32_t word = index / kCodesPerWord;
  uint64_t difference =
      (codes_[word] ^ pattern) >> (index % kCodesPerWord * 4)
                                      << (index % kCodesPerWord * 4);
  const uint32_t words = (limit + kCodesPerWord - 1) / kCodesPerWord;
  while (difference == 0 && ++word < words) difference = codes_[word] ^ pattern;
  if (difference == 0) return limit;
  const int same = std::countr_zero(difference) / 4;
  return std::min(limit, word * kCodesPerWord + static_cast<uint32_t>(same));
}

uint32_t ReferenceMap::Chunk::RunEnd(uint32_t index, uint32_t limit) const {
  switch (form_) {
    case Form::kRuns: {
      const size_t next = FindRun(index) + 1;
      return next < runs_.size() ? std::min(runs_[next].begin, limit) : limit;
    }
    case Form::kCodes:
      return EndOfLikeCodes(index, limit);
    case Form::kBytes:
      return EndOfLike(bytes_, index, limit);
    case Form::kHalfwords:
      return EndOfLike(halfwords_, index, limit);
    case Form::kWords:
      return EndOfLike(words_, index, limit);
  }
  return limit;
}

uint64_t ReferenceMap::Chunk::MemoryBytes() const {
  return sizeof(Chunk) + runs_.capacity() * sizeof(Run) +
         codes_.capacity() * sizeof(uint64_t) + bytes_.capacity() +
         halfwords_.capacity() * sizeof(uint16_t) +
         words_.capacity() * sizeof(uint64_t);
}

// ---- ReferenceMap -----------------------------------------------------------

namespace {

// Chunks found by their index alone: enough for 32 TiB of clusters of 64 KiB.
constexpr uint64_t kMaxSlots = 16384;

uint64_t SlotsFor(uint64_t first_cluster, uint64_t end_cluster) {
  if (end_cluster <= first_cluster) return 0;
  constexpr uint64_t kClusters = ReferenceMap::kChunkClusters;
  return std::min((end_cluster - 1) / kClusters - first_cluster / kClusters + 1,
                  kMaxSlots);
}

}  // namespace

ReferenceMap::ReferenceMap(uint64_t first_cluster, uint64_t end_cluster,
                           uint64_t memory_limit_bytes)
    : first_cluster_(first_cluster),
      memory_limit_bytes_(memory_limit_bytes),
      end_cluster_(end_cluster),
      slots_(SlotsFor(first_cluster, end_cluster)) {}

ReferenceMap::~ReferenceMap() = default;

void ReferenceMap::Writer::Release() {
  ReleaseSingles(single_count_);
  single_count_ = 0;
  ReleaseRanges();
}

void ReferenceMap::Writer::ReleaseSingles(size_t count) {
  if (count > 0) map_.AddSingles(std::span(singles_).first(count), weight_);
}

void ReferenceMap::Writer::ReleaseRanges() {
  if (range_count_ == 0) return;
  map_.AddRanges(std::span(ranges_).first(range_count_), weight_);
  range_count_ = 0;
}

void ReferenceMap::AddRanges(std::span<const Range> ranges, uint64_t weight) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Range& range : ranges) AddRange(range, weight);
}

void ReferenceMap::AddSingles(std::span<const Single> singles,
                              uint64_t weight) {
  const std::lock_guard<std::mutex> lock(mutex_);
  // In an image allocated in random order all chunks have codes, and all of
  // its clusters pass through this loop.
  const uint64_t first_chunk = first_cluster_ / kChunkClusters;
  const bool coded = weight <= kMaxCodeWeight;
  const auto& sums = kCodeSums[coded ? weight : 0];
  for (const Single& single : singles) {
    const uint64_t cluster = single.cluster();
    const uint64_t place = cluster / kChunkClusters - first_chunk;
    const uint32_t index = static_cast<uint32_t>(cluster % kChunkClusters);
    const bool inside =
        cluster - first_cluster_ < end_cluster_ - first_cluster_;
    if (!coded || !inside || place >= slots_.size() ||
        slots_[place].codes == nullptr ||
        !AddToCode(slots_[place].codes[index / kCodesPerWord], index,
                   sums[single.flags()])) {
      AddRange({cluster, 1, single.flags()}, weight);
    }
  }
}

void ReferenceMap::AddRange(const Range& range, uint64_t weight) {
  uint64_t first = std::max(range.first_cluster, first_cluster_);
  const uint64_t stop = range.first_cluster + range.clusters;
  // The end may move down on the way.
  while (first < std::min(stop, end_cluster_)) {
    const uint64_t chunk_index = first / kChunkClusters;
    const uint64_t base = chunk_index * kChunkClusters;
    const uint64_t chunk_stop =
        std::min({stop, end_cluster_, base + kChunkClusters});
    AddInChunk(SlotOf(chunk_index), static_cast<uint32_t>(first - base),
               static_cast<uint32_t>(chunk_stop - base), weight, range.flags);
    first = chunk_stop;
  }
}

void ReferenceMap::AddInChunk(Slot& slot, uint32_t begin, uint32_t end,
                              uint64_t weight, uint32_t flags) {
  const uint64_t before = slot.chunk->MemoryBytes();
  slot.chunk->Add(begin, end, weight, flags);
  slot.codes = slot.chunk->codes();
  AccountMemory(before, slot.chunk->MemoryBytes());
  if (memory_limit_bytes_ != 0 && memory_bytes_ > memory_limit_bytes_) {
    ShrinkWindow();
  }
}

ReferenceMap::Slot& ReferenceMap::SlotOf(uint64_t chunk_index) {
  const uint64_t place = chunk_index - first_cluster_ / kChunkClusters;
  Slot& slot = place < slots_.size() ? slots_[place] : others_[chunk_index];
  if (slot.chunk == nullptr) {
    slot.chunk = std::make_unique<Chunk>();
    AccountMemory(0, slot.chunk->MemoryBytes());
  }
  return slot;
}

void ReferenceMap::AccountMemory(uint64_t bytes_before, uint64_t bytes) {
  memory_bytes_ = memory_bytes_ - bytes_before + bytes;
  peak_memory_bytes_ = std::max(peak_memory_bytes_, memory_bytes_);
}

void ReferenceMap::ShrinkWindow() {
  const std::vector<uint64_t> indexes = ChunkIndexes();
  // One chunk is the least that makes progress, whatever the limit.
  if (indexes.size() <= 1) return;
  const uint64_t first_dropped = indexes[indexes.size() / 2];
  end_cluster_ = std::min(end_cluster_, first_dropped * kChunkClusters);
  for (const uint64_t index : indexes) {
    if (index >= first_dropped) DropChunk(index);
  }
}

void ReferenceMap::DropChunk(uint64_t chunk_index) {
  AccountMemory(FindChunk(chunk_index)->MemoryBytes(), 0);
  const uint64_t place = chunk_index - first_cluster_ / kChunkClusters;
  if (place < slots_.size()) {
    slots_[place] = Slot();
  } else {
    others_.erase(chunk_index);
  }
}

const ReferenceMap::Chunk* ReferenceMap::FindChunk(uint64_t chunk_index) const {
  const uint64_t place = chunk_index - first_cluster_ / kChunkClusters;
  if (place < slots_.size()) return slots_[place].chunk.get();
  const auto found = others_.find(chunk_index);
  return found == others_.end() ? nullptr : found->second.chunk.get();
}

ReferenceCell ReferenceMap::At(uint64_t cluster) const {
  const Chunk* chunk = FindChunk(cluster / kChunkClusters);
  if (chunk == nullptr) return {};
  return chunk->At(static_cast<uint32_t>(cluster % kChunkClusters));
}

uint64_t ReferenceMap::RunEnd(uint64_t cluster, uint64_t end) const {
  const uint64_t base = cluster / kChunkClusters * kChunkClusters;
  const uint64_t limit = std::min(end - base, kChunkClusters);
  const Chunk* chunk = FindChunk(cluster / kChunkClusters);
  if (chunk == nullptr) return base + limit;
  return base + chunk->RunEnd(static_cast<uint32_t>(cluster - base),
                              static_cast<uint32_t>(limit));
}

namespace {

// What four codes below 4 stand for as big-endian counts of 16 bits lie in
// memory, the first byte in the low bits: 1 where the code is not 0. The bit of
// code k goes from place 4k to 16k + 8; the other products fall elsewhere.
uint64_t CountsOfCodes(uint64_t codes) {
  constexpr uint64_t kPlaces = uint64_t{1} << 8 | uint64_t{1} << 20 |
                               uint64_t{1} << 32 | uint64_t{1} << 44;
  return ((codes | codes >> 1) & 0x1111) * kPlaces & 0x0100010001000100;
}

// How many of the 16 codes of a word are below 4 and agree with the counts.
uint32_t UsualCodes(uint64_t codes, const std::byte* counts) {
  const uint64_t odd = codes & 0xcccccccccccccccc;
  for (uint64_t i = 0; i < kCodesPerWord; i += 4) {
    // The first byte in the low bits.
    const uint64_t stored = __builtin_bswap64(LoadBe64(counts + i * 2));
    const uint64_t difference = stored ^ CountsOfCodes(codes >> (i * 4));
    if (difference != 0) {
      const int like = std::countr_zero(difference) / 16;
      return std::min(static_cast<uint32_t>(i) + static_cast<uint32_t>(like),
                      static_cast<uint32_t>(std::countr_zero(odd) / 4));
    }
  }
  return static_cast<uint32_t>(std::countr_zero(odd) / 4);
}

}  // namespace

uint64_t ReferenceMap::UsualEnd(uint64_t first, uint64_t end,
                                const std::byte* counts) const {
  const Chunk* chunk = FindChunk(first / kChunkClusters);
  if (chunk == nullptr || chunk->codes() == nullptr) return first;
  const uint64_t* words = chunk->codes();
  const uint64_t base = first / kChunkClusters * kChunkClusters;
  const uint64_t stop = std::min(end - base, kChunkClusters);
  uint64_t index = first - base;
  for (; index + kCodesPerWord <= stop; counts += uint64_t{2} * kCodesPerWord) {
    const uint64_t shift = index % kCodesPerWord * 4;
    const uint64_t* word = words + index / kCodesPerWord;
    uint64_t codes = *word >> shift;
    if (shift != 0) codes |= word[1] << (64 - shift);
    const uint32_t usual = UsualCodes(codes, counts);
    index += usual;
    if (usual < kCodesPerWord) return base + index;
  }
  for (; index < stop; ++index, counts += 2) {
    const uint64_t code =
        words[index / kCodesPerWord] >> (index % kCodesPerWord * 4) & 15u;
    if (code >= 4 || LoadBe16(counts) != (code != 0 ? 1 : 0)) break;
  }
  return base + index;
}

std::vector<uint64_t> ReferenceMap::ChunkIndexes() const {
  std::vector<uint64_t> indexes;
  const uint64_t first_chunk = first_cluster_ / kChunkClusters;
  for (uint64_t place = 0; place < slots_.size(); ++place) {
    if (slots_[place].chunk != nullptr) indexes.push_back(first_chunk + place);
  }
  for (const auto& [index, slot] : others_) indexes.push_back(index);
  // The others are behind all slots, but in no order.
  std::sort(indexes.begin(), indexes.end());
  return indexes;
}

}  // namespace qcow2::checker
