// Who refers to which host cluster, counted while the tables are walked.
//
// Most of an image is regular: long runs of clusters with one reference each.
// The map is cut into chunks; a chunk is a sorted list of runs as long as that
// is small, then bits for the usual references beside such a list, then an
// array with four bits a cluster for the common cases, and wider only where
// counts ask for it. What nothing refers to costs nothing.
//
// In memory only. Adding is thread-safe through one Writer a thread; reading
// starts when all writers are gone.
#ifndef CHECKER_REFERENCE_MAP_H_
#define CHECKER_REFERENCE_MAP_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "checker/coded_cells.h"
#include "checker/hand_over_queue.h"
#include "checker/reference_cell.h"
#include "checker/reference_chunk.h"

namespace qcow2::checker {

class ReferenceMap {
 public:
  static constexpr uint64_t kChunkClusters = ReferenceChunk::kClusters;

  // Counts clusters from `first_cluster` up to `end_cluster`; adding outside
  // is ignored. When the chunks need more than `memory_limit_bytes` (0: no
  // limit), the end is moved down and what lay behind is dropped: the caller
  // then needs another map from end_cluster() on.
  ReferenceMap(uint64_t first_cluster, uint64_t end_cluster,
               uint64_t memory_limit_bytes);
  ~ReferenceMap();
  ReferenceMap(const ReferenceMap&) = delete;
  ReferenceMap& operator=(const ReferenceMap&) = delete;

  // A reference to one cluster, kept back to be added with others: the cluster
  // and the flags (below 8) in one word, since there are millions of them.
  class Single {
   public:
    Single() = default;
    Single(uint64_t cluster, uint32_t flags) : word_(cluster << 3 | flags) {}
    uint64_t cluster() const { return word_ >> 3; }
    uint32_t flags() const { return static_cast<uint32_t>(word_ & 7); }

   private:
    uint64_t word_;
  };

  // References to consecutive clusters, likewise.
  struct Range {
    uint64_t first_cluster;
    uint64_t clusters;
    uint32_t flags;
  };

  // Singles as one thread hands them to another.
  struct SingleBatch {
    std::vector<Single> singles;
    size_t count = 0;     // how many of them
    uint64_t weight = 0;  // references each
  };

  // A thread's way in. Keeps references back and adds many at a time: one lock
  // for all of them, and one that is free again before anybody waits long.
  // Singles are added by one of the threads for all of them, since each is
  // another place of the map: the places would go to and fro between the
  // processors' caches.
  class Writer {
   public:
    explicit Writer(ReferenceMap& map) : map_(map), ranges_(kRanges) {
      batch_.singles.resize(kSingles);
    }
    ~Writer();
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    // Adds `weight` references to each of `clusters` clusters. `flags`:
    // kReferenceMetadata when the owner is a structure of its own (each
    // structure is added once, whatever its weight), kReferenceCopied or
    // kReferenceNotCopied for entries of active tables.
    void Add(uint64_t first_cluster, uint64_t clusters, uint64_t weight,
             uint32_t flags) {
      if (weight != weight_) {
        Release();
        weight_ = weight;
      }
      if (range_count_ == kRanges) ReleaseRanges();
      ranges_[range_count_++] = {first_cluster, clusters, flags};
    }
    // Adds what is still kept back.
    void Release();

    // For loops that add millions of single clusters, where every step counts:
    // Open gives the place to put the next ones, of `weight` references each;
    // MakeRoom, told the place behind the last one put, gives that or another
    // where there is room for `count` (at most kMaxRoom) more; Close is told
    // the place behind the last one. In between, no Add with another weight and
    // no Release.
    static constexpr size_t kMaxRoom = 1024;
    Single* Open(uint64_t weight) {
      if (weight != weight_) {
        Release();
        weight_ = weight;
      }
      return batch_.singles.data() + batch_.count;
    }
    Single* MakeRoom(Single* next, size_t count) {
      Close(next);
      if (batch_.count + count > full_at_) ReleaseSingles(count);
      return batch_.singles.data() + batch_.count;
    }
    void Close(const Single* next) {
      batch_.count = static_cast<size_t>(next - batch_.singles.data());
    }
    // Between Open and Close: adds single_at(0) to single_at(count - 1), at
    // once if this is the thread that adds for all. `next` and what is returned
    // are as with MakeRoom.
    template <typename SingleAt>
    Single* AddMany(Single* next, size_t count, SingleAt single_at);

   private:
    static constexpr size_t kSingles = 4 * kMaxRoom;
    static constexpr size_t kRanges = 1024;

    // Adds the singles kept back or hands them over, unless another thread adds
    // and there is still room for `count` more.
    void ReleaseSingles(size_t count);
    void ReleaseRanges();

    ReferenceMap& map_;
    SingleBatch batch_;
    std::vector<Range> ranges_;
    size_t full_at_ = kMaxRoom;  // with so many singles it is time to add them
    size_t range_count_ = 0;
    uint64_t weight_ = 0;
  };

  uint64_t first_cluster() const { return first_cluster_; }
  // Reading (no Writer may exist).
  uint64_t end_cluster() const { return end_cluster_; }
  // The cell of one cluster.
  ReferenceCell At(uint64_t cluster) const;
  // The end of the run of like cells from `cluster` on, at most `end`, which is
  // behind it. No run crosses a chunk; neighbours may be alike.
  uint64_t RunEnd(uint64_t cluster, uint64_t end) const;
  // Calls `visit(first_cluster, clusters, cell)` for consecutive runs of like
  // clusters that cover [first, end) without gaps, unreferenced runs included.
  template <typename Visit>
  void ForEachRun(uint64_t first, uint64_t end, Visit visit) const;
  // How far, at most to `end`, the clusters from `first` on are as they usually
  // are, and counted right: one reference or none, no flags but COPIED or
  // metadata with COPIED, and the count in `counts`, big-endian 16-bit counts
  // from that of `first` on, is that number. With `pass_leaks`, leaked clusters
  // are passed over, too, and counted; not one at `first`, though, since its
  // run may have begun before. May stop early: it looks where that is quick.
  UsualClusters PassUsual(uint64_t first, uint64_t end, const std::byte* counts,
                          bool pass_leaks) const;
  // Indexes of the chunks that hold anything, ascending.
  std::vector<uint64_t> ChunkIndexes() const;

  // Most bytes the chunks ever took.
  uint64_t peak_memory_bytes() const { return peak_memory_bytes_; }

 private:
  // A chunk, and its bits or codes while it has one of these forms.
  struct Slot {
    std::unique_ptr<ReferenceChunk> chunk;
    uint64_t* bits = nullptr;
    uint64_t* codes = nullptr;
  };

  // Batches that wait to be added: half a megabyte.
  static constexpr size_t kMaxQueued = 16;

  // Adds what other threads have handed over to the one that calls.
  void AddQueued();
  // Adds singles single_at(0) to single_at(count - 1).
  template <typename SingleAt>
  void AddSingles(size_t count, uint64_t weight, SingleAt single_at);
  // The same from single_at(i) on, up to the first that is not simply added to
  // bits or codes; returns its place, or `count`. The caller holds the lock.
  // Every step counts here, since nearly all clusters of an image allocated in
  // random order come along: a function of its own keeps all it needs in
  // registers.
  template <typename SingleAt>
  [[gnu::noinline]] size_t AddPlainSingles(size_t i, size_t count,
                                           uint64_t weight, SingleAt single_at);
  void AddRanges(std::span<const Range> ranges, uint64_t weight);
  void AddRange(Range range, uint64_t weight);
  // Adds what can be added to bits or codes; `range` becomes the rest.
  void AddPlainRange(Range& range, uint64_t weight);
  void AddInChunk(Slot& slot, uint32_t begin, uint32_t end, uint64_t weight,
                  uint32_t flags);
  // Makes it if there is none. Good until the next call.
  Slot& SlotOf(uint64_t chunk_index);
  const ReferenceChunk* FindChunk(uint64_t chunk_index) const;
  void AccountMemory(uint64_t bytes_before, uint64_t bytes);
  // Drops the upper half of the chunks and moves the end down to them.
  void ShrinkWindow();
  void DropChunk(uint64_t chunk_index);

  const uint64_t first_cluster_;
  const uint64_t memory_limit_bytes_;
  HandOverQueue<SingleBatch> queue_{kMaxQueued};
  // Guards all that follows as long as there are writers.
  std::mutex mutex_;
  uint64_t end_cluster_;
  uint64_t memory_bytes_ = 0;
  uint64_t peak_memory_bytes_ = 0;
  // Chunks from that of first_cluster_ on; those far behind in an image that
  // is huge, or claims to be, in others_.
  std::vector<Slot> slots_;
  absl::flat_hash_map<uint64_t, Slot> others_;
};

template <typename SingleAt>
ReferenceMap::Single* ReferenceMap::Writer::AddMany(Single* next, size_t count,
                                                    SingleAt single_at) {
  if (map_.queue_.BecomesTaker(this)) {
    map_.AddSingles(count, weight_, single_at);
    map_.AddQueued();
    return next;
  }
  for (size_t i = 0; i < count;) {
    const size_t end = std::min(count, i + kMaxRoom);
    next = MakeRoom(next, end - i);
    for (; i < end; ++i) *next++ = single_at(i);
  }
  return next;
}

template <typename SingleAt>
void ReferenceMap::AddSingles(size_t count, uint64_t weight,
                              SingleAt single_at) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (size_t i = 0; i < count; ++i) {
    i = AddPlainSingles(i, count, weight, single_at);
    if (i == count) return;
    const Single single = single_at(i);
    AddRange({single.cluster(), 1, single.flags()}, weight);
  }
}

template <typename SingleAt>
size_t ReferenceMap::AddPlainSingles(size_t i, size_t count, uint64_t weight,
                                     SingleAt single_at) {
  if (!HasCodeSums(weight)) return i;
  const CodeSumsByFlags& sums = CodeSumsOf(weight);
  const std::span<const Slot> slots = slots_;
  const uint64_t first_cluster = first_cluster_;
  const uint64_t clusters = end_cluster_ - first_cluster;
  for (; i < count; ++i) {
    const Single single = single_at(i);
    const uint64_t cluster = single.cluster();
    if (cluster - first_cluster >= clusters) continue;  // outside
    const uint64_t place =
        cluster / kChunkClusters - first_cluster / kChunkClusters;
    if (place >= slots.size()) return i;
    const Slot& slot = slots[place];
    const auto index = static_cast<uint32_t>(cluster % kChunkClusters);
    if (slot.bits != nullptr && IsUsualReference(weight, single.flags())) {
      if (!SetBit(slot.bits, index)) return i;
    } else if (slot.codes == nullptr ||
               !AddToCode(slot.codes[index / kCodesPerWord], index,
                          sums[single.flags()])) {
      return i;
    }
  }
  return count;
}

template <typename Visit>
void ReferenceMap::ForEachRun(uint64_t first, uint64_t end, Visit visit) const {
  while (first < end) {
    const uint64_t stop = RunEnd(first, end);
    visit(first, stop - first, At(first));
    first = stop;
  }
}

}  // namespace qcow2::checker

#endif  // CHECKER_REFERENCE_MAP_H_
