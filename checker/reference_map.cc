#include "checker/reference_map.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace qcow2::checker {

// ---- Chunk ------------------------------------------------------------------

ReferenceCell ReferenceMap::Chunk::Sum(ReferenceCell cell, uint64_t weight,
                                       uint32_t flags) {
  const bool meets =
      cell.count > 0 && ((cell.flags | flags) & kReferenceMetadata) != 0;
  cell.flags |= flags | (meets ? uint32_t{kReferenceOverlap} : 0);
  cell.count = weight > kMaxReferences - cell.count ? kMaxReferences
                                                    : cell.count + weight;
  return cell;
}

void ReferenceMap::Chunk::Add(uint32_t begin, uint32_t end, uint64_t weight,
                              uint32_t flags) {
  if (form_ == Form::kRuns) {
    AddToRuns(begin, end, weight, flags);
    if (runs_.size() > kMaxRuns) ConvertRunsToBytes();
    return;
  }
  // Each array form goes as far as its width allows; what is left goes on in
  // the next wider form.
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

void ReferenceMap::Chunk::ConvertRunsToBytes() {
  bytes_.assign(kChunkClusters, 0);
  form_ = Form::kBytes;
  std::vector<Run> runs;
  runs.swap(runs_);
  for (size_t i = 0; i < runs.size(); ++i) {
    const uint32_t end =
        i + 1 < runs.size() ? runs[i + 1].begin : uint32_t{kChunkClusters};
    // A run holds final cells: the flags must not meet again.
    const ReferenceCell cell = runs[i].cell;
    if (cell.count == 0) continue;
    Add(runs[i].begin, end, cell.count, cell.flags);
  }
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
  return sizeof(Chunk) + runs_.capacity() * sizeof(Run) + bytes_.capacity() +
         halfwords_.capacity() * sizeof(uint16_t) +
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

void ReferenceMap::Writer::Enter(uint64_t chunk_index) {
  if (chunk_ != nullptr && chunk_index_ == chunk_index) return;
  Release();
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

void ReferenceMap::Writer::Release() {
  chunk_ = nullptr;
  if (lock_.owns_lock()) lock_.unlock();
}

void ReferenceMap::Writer::AddInChunk(uint64_t chunk_index, uint32_t begin,
                                      uint32_t end, uint64_t weight,
                                      uint32_t flags) {
  Enter(chunk_index);
  const uint64_t before = chunk_->MemoryBytes();
  chunk_->Add(begin, end, weight, flags);
  const uint64_t after = chunk_->MemoryBytes();
  if (after == before) return;
  map_.AccountMemory(static_cast<int64_t>(after) -
                     static_cast<int64_t>(before));
  if (map_.memory_limit_bytes_ != 0 &&
      static_cast<uint64_t>(map_.memory_bytes_.load()) >
          map_.memory_limit_bytes_) {
    Release();
    map_.ShrinkWindow();
  }
}

void ReferenceMap::Writer::Add(uint64_t first_cluster, uint64_t clusters,
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
