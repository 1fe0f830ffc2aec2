#include "checker/reference_map.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>

namespace qcow2::checker {
namespace {

// ---- Four-bit codes ---------------------------------------------------------

// The cells that images are made of; any other makes a chunk go over to bytes.
// Code 0 must be the empty cell.
constexpr ReferenceCell kCodedCells[] = {
    {0, 0},
    {1, kReferenceCopied},
    {1, kReferenceNotCopied},
    {1, 0},
    {1, kReferenceMetadata},
    {1, kReferenceMetadata | kReferenceCopied},
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

void ReferenceMap::Chunk::AddSingles(std::span<const SingleReference> singles,
                                     uint64_t weight) {
  // A list of runs is no place for many separate clusters.
  if (form_ == Form::kRuns && singles.size() >= kManySingles) {
    ConvertRunsToCodes();
  }
  size_t i = 0;
  if (form_ == Form::kCodes && weight <= kMaxCodeWeight) {
    const auto& sums = kCodeSums[weight];
    for (; i < singles.size(); ++i) {
      const uint64_t index = singles[i].cluster() % kChunkClusters;
      uint8_t& pair = codes_[index / 2];
      const uint32_t shift = index % 2 * 4;
      const uint8_t sum = sums[singles[i].flags()][pair >> shift & 15u];
      if (sum == kNoCode) break;
      pair = static_cast<uint8_t>((pair & ~(15u << shift)) | sum << shift);
    }
  }
  for (; i < singles.size(); ++i) {
    const uint32_t index =
        static_cast<uint32_t>(singles[i].cluster() % kChunkClusters);
    Add(index, index + 1, weight, singles[i].flags());
  }
}

void ReferenceMap::Chunk::ConvertRunsToCodes() {
  codes_.assign(kChunkClusters / 2, 0);
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
  const auto add_one = [&](uint32_t index) {
    const uint32_t shift = index % 2 * 4;
    uint8_t& pair = codes_[index / 2];
    const uint8_t sum = sums[pair >> shift & 15u];
    if (sum == kNoCode) return false;
    pair = static_cast<uint8_t>((pair & ~(15u << shift)) | sum << shift);
    return true;
  };
  while (begin < end) {
    // Whole bytes of untouched clusters, the usual case of a longer range.
    const uint8_t fresh = sums[0];
    if (begin % 2 == 0 && end - begin >= 2 && codes_[begin / 2] == 0 &&
        fresh != kNoCode) {
      codes_[begin / 2] = static_cast<uint8_t>(fresh << 4 | fresh);
      begin += 2;
      continue;
    }
    if (!add_one(begin)) return false;
    ++begin;
  }
  return true;
}

void ReferenceMap::Chunk::WidenCodes() {
  bytes_.resize(kChunkClusters);
  for (uint32_t i = 0; i < kChunkClusters; ++i) {
    const ReferenceCell& cell = kCodedCells[CodeAt(i)];
    bytes_[i] = static_cast<uint8_t>(cell.count << kFlagBits | cell.flags);
  }
  std::vector<uint8_t>().swap(codes_);
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
  const uint32_t code = CodeAt(index);
  uint32_t i = index + 1;
  if (i % 2 != 0 && i < limit) {
    if (CodeAt(i) != code) return i;
    ++i;
  }
  // Whole bytes from here on.
  const auto pair = static_cast<uint8_t>(code << 4 | code);
  if (i < limit && codes_[i / 2] == pair) {
    i = EndOfLike(codes_, i / 2, limit / 2) * 2;
  }
  while (i < limit && CodeAt(i) == code) ++i;
  return std::min(i, limit);
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
  return sizeof(Chunk) + runs_.capacity() * sizeof(Run) + codes_.capacity() +
         bytes_.capacity() + halfwords_.capacity() * sizeof(uint16_t) +
         words_.capacity() * sizeof(uint64_t);
}

// ---- ReferenceMap -----------------------------------------------------------

ReferenceMap::ReferenceMap(uint64_t first_cluster, uint64_t end_cluster,
                           uint64_t memory_limit_bytes)
    : first_cluster_(first_cluster),
      end_cluster_(end_cluster),
      memory_limit_bytes_(memory_limit_bytes),
      shards_(std::make_unique<Shard[]>(kShards)) {}

ReferenceMap::~ReferenceMap() = default;

namespace {

// References to single clusters kept back by a writer: as many as a usual L2
// table has entries.
constexpr size_t kMaxSingles = 8192;
// Chunks a batch of singles may spread over to be sorted by counting.
constexpr uint64_t kMaxCountedChunks = 1 << 16;

}  // namespace

ReferenceMap::Writer::Writer(ReferenceMap& map) : map_(map) {}

void ReferenceMap::Writer::Enter(uint64_t chunk_index) {
  if (chunk_ != nullptr && chunk_index_ == chunk_index) return;
  Leave();
  Shard& shard = map_.ShardOf(chunk_index);
  lock_ = std::unique_lock<std::mutex>(shard.mutex);
  std::unique_ptr<Chunk>& chunk = shard.chunks[chunk_index];
  if (chunk == nullptr) {
    chunk = std::make_unique<Chunk>();
    map_.AccountMemory(static_cast<int64_t>(chunk->MemoryBytes()));
  }
  chunk_ = chunk.get();
  chunk_index_ = chunk_index;
}

void ReferenceMap::Writer::Leave() {
  chunk_ = nullptr;
  if (lock_.owns_lock()) lock_.unlock();
}

void ReferenceMap::Writer::Release() {
  FlushSingles();
  Leave();
}

// Settles what the current chunk has grown by.
void ReferenceMap::Writer::Account(uint64_t bytes_before) {
  const uint64_t bytes = chunk_->MemoryBytes();
  if (bytes == bytes_before) return;
  map_.AccountMemory(static_cast<int64_t>(bytes) -
                     static_cast<int64_t>(bytes_before));
  if (map_.memory_limit_bytes_ != 0 &&
      static_cast<uint64_t>(map_.memory_bytes_.load()) >
          map_.memory_limit_bytes_) {
    Leave();
    map_.ShrinkWindow();
  }
}

void ReferenceMap::Writer::AddInChunk(uint64_t chunk_index, uint32_t begin,
                                      uint32_t end, uint64_t weight,
                                      uint32_t flags) {
  Enter(chunk_index);
  const uint64_t before = chunk_->MemoryBytes();
  chunk_->Add(begin, end, weight, flags);
  Account(before);
}

void ReferenceMap::Writer::AddRange(uint64_t first_cluster, uint64_t clusters,
                                    uint64_t weight, uint32_t flags) {
  uint64_t first = std::max(first_cluster, map_.first_cluster_);
  const uint64_t stop = first_cluster + clusters;
  // The end may move down under us: it is read anew for each chunk.
  while (first < std::min(stop, map_.end_cluster_.load())) {
    const uint64_t end = std::min(stop, map_.end_cluster_.load());
    const uint64_t chunk_index = first / kChunkClusters;
    const uint64_t base = chunk_index * kChunkClusters;
    const uint64_t chunk_stop = std::min(end, base + kChunkClusters);
    if (chunk_stop <= first) return;
    AddInChunk(chunk_index, static_cast<uint32_t>(first - base),
               static_cast<uint32_t>(chunk_stop - base), weight, flags);
    first = chunk_stop;
  }
}

void ReferenceMap::Writer::Add(uint64_t first_cluster, uint64_t clusters,
                               uint64_t weight, uint32_t flags) {
  if (clusters != 1) {
    AddRange(first_cluster, clusters, weight, flags);
    return;
  }
  if (weight != singles_weight_ || singles_.size() == kMaxSingles) {
    FlushSingles();
    singles_weight_ = weight;
  }
  if (first_cluster >= map_.first_cluster_ &&
      first_cluster < map_.end_cluster_.load(std::memory_order_relaxed)) {
    singles_.emplace_back(first_cluster, flags);
  }
}

void ReferenceMap::Writer::SortSinglesByChunk() {
  uint64_t lowest = ~uint64_t{0};
  uint64_t highest = 0;
  for (const SingleReference& single : singles_) {
    lowest = std::min(lowest, single.cluster());
    highest = std::max(highest, single.cluster());
  }
  const uint64_t first_chunk = lowest / kChunkClusters;
  const uint64_t chunks = highest / kChunkClusters - first_chunk + 1;
  if (chunks > kMaxCountedChunks) {
    std::sort(singles_.begin(), singles_.end(),
              [](const SingleReference& a, const SingleReference& b) {
                return a.cluster() < b.cluster();
              });
    return;
  }
  const auto chunk_of = [&](const SingleReference& single) {
    return single.cluster() / kChunkClusters - first_chunk;
  };
  starts_.assign(chunks + 1, 0);
  for (const SingleReference& single : singles_)
    ++starts_[chunk_of(single) + 1];
  for (uint64_t i = 1; i <= chunks; ++i) starts_[i] += starts_[i - 1];
  sorted_.resize(singles_.size());
  for (const SingleReference& single : singles_) {
    sorted_[starts_[chunk_of(single)]++] = single;
  }
  singles_.swap(sorted_);
}

void ReferenceMap::Writer::AddSinglesInChunk(size_t begin, size_t end) {
  const uint64_t chunk_index = singles_[begin].cluster() / kChunkClusters;
  const uint64_t map_end = map_.end_cluster_.load();
  if (chunk_index * kChunkClusters >= map_end) return;
  Enter(chunk_index);
  const uint64_t before = chunk_->MemoryBytes();
  chunk_->AddSingles(std::span(singles_).subspan(begin, end - begin),
                     singles_weight_);
  Account(before);
}

void ReferenceMap::Writer::FlushSingles() {
  if (singles_.empty()) return;
  SortSinglesByChunk();
  for (size_t begin = 0; begin < singles_.size();) {
    const uint64_t chunk = singles_[begin].cluster() / kChunkClusters;
    size_t end = begin + 1;
    while (end < singles_.size() &&
           singles_[end].cluster() / kChunkClusters == chunk) {
      ++end;
    }
    AddSinglesInChunk(begin, end);
    begin = end;
  }
  singles_.clear();
}

void ReferenceMap::AccountMemory(int64_t delta_bytes) {
  const uint64_t now =
      static_cast<uint64_t>(memory_bytes_.fetch_add(delta_bytes) + delta_bytes);
  uint64_t peak = peak_memory_bytes_.load();
  while (now > peak && !peak_memory_bytes_.compare_exchange_weak(peak, now)) {
  }
}

void ReferenceMap::ShrinkWindow() {
  const std::lock_guard<std::mutex> shrinking(shrink_mutex_);
  if (static_cast<uint64_t>(memory_bytes_.load()) <= memory_limit_bytes_) {
    return;
  }
  std::vector<uint64_t> indexes = ChunkIndexes();
  // One chunk is the least that makes progress, whatever the limit.
  if (indexes.size() <= 1) return;
  const uint64_t first_dropped = indexes[indexes.size() / 2];
  const uint64_t end = first_dropped * kChunkClusters;
  if (end <= first_cluster_) return;
  end_cluster_ = std::min(end_cluster_.load(), end);
  for (const uint64_t index : indexes) {
    if (index < first_dropped) continue;
    Shard& shard = ShardOf(index);
    const std::lock_guard<std::mutex> lock(shard.mutex);
    const auto found = shard.chunks.find(index);
    if (found == shard.chunks.end()) continue;
    AccountMemory(-static_cast<int64_t>(found->second->MemoryBytes()));
    shard.chunks.erase(found);
  }
}

const ReferenceMap::Chunk* ReferenceMap::FindChunk(uint64_t chunk_index) const {
  const Shard& shard = ShardOf(chunk_index);
  const auto found = shard.chunks.find(chunk_index);
  return found == shard.chunks.end() ? nullptr : found->second.get();
}

ReferenceCell ReferenceMap::At(uint64_t cluster) const {
  const Chunk* chunk = FindChunk(cluster / kChunkClusters);
  if (chunk == nullptr) return {};
  return chunk->At(static_cast<uint32_t>(cluster % kChunkClusters));
}

std::vector<uint64_t> ReferenceMap::ChunkIndexes() const {
  std::vector<uint64_t> indexes;
  for (uint64_t i = 0; i < kShards; ++i) {
    const std::lock_guard<std::mutex> lock(shards_[i].mutex);
    for (const auto& [index, chunk] : shards_[i].chunks) {
      indexes.push_back(index);
    }
  }
  std::sort(indexes.begin(), indexes.end());
  return indexes;
}

}  // namespace qcow2::checker
