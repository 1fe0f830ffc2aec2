#include "checker/reference_map.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace qcow2::checker {
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
    map_.AddSingles(batch_.count, weight_,
                    [&](size_t i) { return batch_.singles[i]; });
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
  for (Range range : ranges) {
    AddPlainRange(range, weight);
    if (range.clusters > 0) AddRange(range, weight);
  }
}

void ReferenceMap::AddPlainRange(Range& range, uint64_t weight) {
  const uint64_t first = range.first_cluster;
  const uint64_t chunk = first / kChunkClusters;
  const uint64_t place = chunk - first_cluster_ / kChunkClusters;
  const uint64_t base = chunk * kChunkClusters;
  if (first < first_cluster_ || place >= slots_.size() ||
      first + range.clusters > end_cluster_ ||
      first + range.clusters > base + kChunkClusters) {
    return;
  }
  const Slot& slot = slots_[place];
  const auto begin = static_cast<uint32_t>(first - base);
  const auto end = static_cast<uint32_t>(begin + range.clusters);
  uint32_t added_end = begin;
  if (slot.bits != nullptr && IsUsualReference(weight, range.flags)) {
    added_end = SetBits(slot.bits, begin, end);
  } else if (slot.codes != nullptr && HasCodeSums(weight)) {
    added_end =
        AddToCodes(slot.codes, begin, end, CodeSumsOf(weight)[range.flags]);
  }
  range.first_cluster += added_end - begin;
  range.clusters -= added_end - begin;
}

void ReferenceMap::AddQueued() {
  std::optional<SingleBatch> batch;
  while ((batch = queue_.Next(std::move(batch)))) {
    AddSingles(batch->count, batch->weight,
               [&](size_t i) { return batch->singles[i]; });
  }
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
  slot.bits = slot.chunk->bits();
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
    slot.chunk = std::make_unique<ReferenceChunk>();
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

const ReferenceChunk* ReferenceMap::FindChunk(uint64_t chunk_index) const {
  const uint64_t place = chunk_index - first_cluster_ / kChunkClusters;
  if (place < slots_.size()) return slots_[place].chunk.get();
  const auto found = others_.find(chunk_index);
  return found == others_.end() ? nullptr : found->second.chunk.get();
}

ReferenceCell ReferenceMap::At(uint64_t cluster) const {
  const ReferenceChunk* chunk = FindChunk(cluster / kChunkClusters);
  if (chunk == nullptr) return {};
  return chunk->At(static_cast<uint32_t>(cluster % kChunkClusters));
}

uint64_t ReferenceMap::RunEnd(uint64_t cluster, uint64_t end) const {
  const uint64_t base = cluster / kChunkClusters * kChunkClusters;
  const uint64_t limit = std::min(end - base, kChunkClusters);
  const ReferenceChunk* chunk = FindChunk(cluster / kChunkClusters);
  if (chunk == nullptr) return base + limit;
  return base + chunk->RunEnd(static_cast<uint32_t>(cluster - base),
                              static_cast<uint32_t>(limit));
}

UsualClusters ReferenceMap::PassUsual(uint64_t first, uint64_t end,
                                      const std::byte* counts,
                                      bool pass_leaks) const {
  const ReferenceChunk* chunk = FindChunk(first / kChunkClusters);
  if (chunk == nullptr) return {.end = first};
  const uint64_t base = first / kChunkClusters * kChunkClusters;
  UsualClusters passed = chunk->PassUsual(
      static_cast<uint32_t>(first - base),
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
