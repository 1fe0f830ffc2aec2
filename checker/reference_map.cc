#include "checker/reference_map.h"

#include <algorithm>
#include <array>
#include <bit>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>

#include "checker/coded_cells.h"

namespace qcow2::checker {

// ---- Chunk ------------------------------------------------------------------

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
    runs_[i].cell = SumOf(runs_[i].cell, weight, flags);
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
  if (weight > kMaxCodeWeight || flags >= kCodeFlags) return begin >= end;
  begin =
      checker::AddToCodes(codes_.data(), begin, end, CodeSumsOf(weight)[flags]);
  return begin >= end;
}

void ReferenceMap::Chunk::WidenCodes() {
  bytes_.resize(kChunkClusters);
  for (uint32_t i = 0; i < kChunkClusters; ++i) {
    const ReferenceCell& cell = kCodedCells[CodeAt(codes_.data(), i)];
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
    const ReferenceCell sum = SumOf(Decode(cells[begin]), weight, flags);
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
      return kCodedCells[CodeAt(codes_.data(), index)];
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

uint32_t ReferenceMap::Chunk::RunEnd(uint32_t index, uint32_t limit) const {
  switch (form_) {
    case Form::kRuns: {
      const size_t next = FindRun(index) + 1;
      return next < runs_.size() ? std::min(runs_[next].begin, limit) : limit;
    }
    case Form::kCodes:
      return EndOfLikeCodes(codes_.data(), index, limit);
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

ReferenceMap::Writer::~Writer() {
  Release();
  while (!map_.queue_.Leave(this)) map_.AddQueued();
}

void ReferenceMap::Writer::Release() {
  if (batch_.count > 0) ReleaseSingles(kSingles);
  ReleaseRanges();
}

void ReferenceMap::Writer::ReleaseSingles(size_t count) {
  if (batch_.count + count <= kSingles && !map_.queue_.IsTaker(this)) {
    full_at_ = kSingles;
    return;
  }
  batch_.weight = weight_;
  if (map_.queue_.TakesIn(this, batch_)) {
    map_.AddBatch(batch_);
    map_.AddQueued();
    // Few at a time, since they are still at hand.
    full_at_ = kMaxRoom;
  } else {
    batch_.singles.resize(kSingles);
    full_at_ = kSingles;
  }
  batch_.count = 0;
}

void ReferenceMap::Writer::ReleaseRanges() {
  if (range_count_ == 0) return;
  map_.AddRanges(std::span(ranges_).first(range_count_), weight_);
  range_count_ = 0;
}

void ReferenceMap::AddRanges(std::span<const Range> ranges, uint64_t weight) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (weight == 0 || weight > kMaxCodeWeight) {
    for (const Range& range : ranges) AddRange(range, weight);
    return;
  }
  const CodeSumsByFlags& sums = CodeSumsOf(weight);
  for (Range range : ranges) {
    AddToCodes(range, sums);
    if (range.clusters > 0) AddRange(range, weight);
  }
}

void ReferenceMap::AddToCodes(Range& range, const CodeSumsByFlags& sums) {
  const uint64_t first = range.first_cluster;
  const uint64_t chunk = first / kChunkClusters;
  const uint64_t place = chunk - first_cluster_ / kChunkClusters;
  const uint64_t base = chunk * kChunkClusters;
  if (first < first_cluster_ || place >= slots_.size() ||
      slots_[place].codes == nullptr || first + range.clusters > end_cluster_ ||
      first + range.clusters > base + kChunkClusters) {
    return;
  }
  const auto begin = static_cast<uint32_t>(first - base);
  const uint32_t added =
      checker::AddToCodes(slots_[place].codes, begin,
                          static_cast<uint32_t>(begin + range.clusters),
                          sums[range.flags]) -
      begin;
  range.first_cluster += added;
  range.clusters -= added;
}

uint64_t* ReferenceMap::WordOf(uint64_t cluster) {
  const uint64_t place =
      cluster / kChunkClusters - first_cluster_ / kChunkClusters;
  if (cluster - first_cluster_ >= end_cluster_ - first_cluster_ ||
      place >= slots_.size() || slots_[place].codes == nullptr) {
    return nullptr;
  }
  return slots_[place].codes + cluster % kChunkClusters / kCodesPerWord;
}

void ReferenceMap::AddBatch(const SingleBatch& batch) {
  const std::lock_guard<std::mutex> lock(mutex_);
  AddSingles(std::span(batch.singles).first(batch.count), batch.weight);
}

void ReferenceMap::AddQueued() {
  std::optional<SingleBatch> batch;
  while ((batch = queue_.Next(std::move(batch)))) AddBatch(*batch);
}

void ReferenceMap::AddSingles(std::span<const Single> singles,
                              uint64_t weight) {
  const bool coded = weight > 0 && weight <= kMaxCodeWeight;
  while (!singles.empty()) {
    if (coded)
      singles = singles.subspan(AddToCodes(singles, CodeSumsOf(weight)));
    if (singles.empty()) return;
    AddRange({singles.front().cluster(), 1, singles.front().flags()}, weight);
    singles = singles.subspan(1);
  }
}

// In an image allocated in random order all chunks have codes, and all of its
// clusters pass through here. Words are looked for many at a time, so that the
// processor waits for all of them together.
size_t ReferenceMap::AddToCodes(std::span<const Single> singles,
                                const CodeSumsByFlags& sums) {
  std::array<uint64_t*, 32> words;
  size_t added = 0;
  size_t found = words.size();
  while (found == words.size()) {
    const std::span<const Single> next = singles.subspan(added);
    for (found = 0; found < std::min(next.size(), words.size()); ++found) {
      words[found] = WordOf(next[found].cluster());
      if (words[found] == nullptr) break;
      __builtin_prefetch(words[found], 1);
    }
    for (size_t i = 0; i < found; ++i, ++added) {
      const auto index = static_cast<uint32_t>(next[i].cluster());
      if (!AddToCode(*words[i], index, sums[next[i].flags()])) return added;
    }
  }
  return added;
}

void ReferenceMap::AddRange(Range range, uint64_t weight) {
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

UsualClusters ReferenceMap::PassUsual(uint64_t first, uint64_t end,
                                      const std::byte* counts,
                                      bool pass_leaks) const {
  const Chunk* chunk = FindChunk(first / kChunkClusters);
  if (chunk == nullptr || chunk->codes() == nullptr) return {.end = first};
  const uint64_t base = first / kChunkClusters * kChunkClusters;
  UsualClusters passed = PassUsualCodes(
      chunk->codes(), static_cast<uint32_t>(first - base),
      static_cast<uint32_t>(std::min(end - base, kChunkClusters)), counts,
      pass_leaks);
  passed.end += base;
  return passed;
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
