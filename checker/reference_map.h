// Who refers to which host cluster, counted while the tables are walked.
//
// Most of an image is regular: long runs of clusters with one reference each.
// The map is cut into chunks; a chunk is a sorted list of runs as long as that
// is small, then an array with four bits a cluster for the common cases, and
// wider only where counts ask for it. What nothing refers to costs nothing.
//
// In memory only. Adding is thread-safe through one Writer per thread; reading
// starts when all writers are gone.
#ifndef CHECKER_REFERENCE_MAP_H_
#define CHECKER_REFERENCE_MAP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace qcow2::checker {

// What is known of one cluster, or of each cluster of a run.
struct ReferenceCell {
  // References, saturating at kMaxReferences.
  uint64_t count = 0;
  // A set of ReferenceFlag.
  uint32_t flags = 0;

  friend bool operator==(const ReferenceCell&, const ReferenceCell&) = default;
};

enum ReferenceFlag : uint32_t {
  // One of the owners is a metadata structure.
  kReferenceMetadata = 1u << 0,
  // An entry of an active table names it with COPIED set, or clear.
  kReferenceCopied = 1u << 1,
  kReferenceNotCopied = 1u << 2,
  // A metadata structure and a second owner of any kind.
  kReferenceOverlap = 1u << 3,
};

inline constexpr uint64_t kMaxReferences = (uint64_t{1} << 60) - 1;

// A reference to one cluster, kept back to be added with others: the cluster
// and the flags (below 8) in one word, since there are millions of them.
class SingleReference {
 public:
  SingleReference() = default;
  SingleReference(uint64_t cluster, uint32_t flags)
      : word_(cluster << 3 | flags) {}
  uint64_t cluster() const { return word_ >> 3; }
  uint32_t flags() const { return static_cast<uint32_t>(word_ & 7); }

 private:
  uint64_t word_;
};

class ReferenceMap {
 public:
  // Clusters per chunk.
  static constexpr uint64_t kChunkClusters = 32768;

  // Counts clusters from `first_cluster` up to `end_cluster`; adding outside
  // is ignored. When the chunks need more than `memory_limit_bytes` (0: no
  // limit), the end is moved down and what lay behind is dropped: the caller
  // then needs another map from end_cluster() on.
  ReferenceMap(uint64_t first_cluster, uint64_t end_cluster,
               uint64_t memory_limit_bytes);
  ~ReferenceMap();
  ReferenceMap(const ReferenceMap&) = delete;
  ReferenceMap& operator=(const ReferenceMap&) = delete;

  class Chunk;

  // A thread's way in. Holds the lock of the chunk it last added to, so that
  // runs of neighbours are cheap; Release() before doing anything slow.
  class Writer {
   public:
    explicit Writer(ReferenceMap& map);
    ~Writer() { Release(); }
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    // Adds `weight` references to each of `clusters` clusters. `flags`:
    // kReferenceMetadata when the owner is a structure of its own (each
    // structure is added once, whatever its weight), kReferenceCopied or
    // kReferenceNotCopied for entries of active tables.
    void Add(uint64_t first_cluster, uint64_t clusters, uint64_t weight,
             uint32_t flags);
    // Adds what is still kept back and gives back the lock.
    void Release();

   private:
    friend class ReferenceMap;
    void AddRange(uint64_t first_cluster, uint64_t clusters, uint64_t weight,
                  uint32_t flags);
    void AddInChunk(uint64_t chunk_index, uint32_t begin, uint32_t end,
                    uint64_t weight, uint32_t flags);
    // Adds the singles, chunk by chunk: in an image allocated in random order
    // each would otherwise mean another lock and another chunk.
    void FlushSingles();
    void SortSinglesByChunk();
    void AddSinglesInChunk(size_t begin, size_t end);
    void Enter(uint64_t chunk_index);
    void Leave();
    void Account(uint64_t bytes_before);

    ReferenceMap& map_;
    std::unique_lock<std::mutex> lock_;
    uint64_t chunk_index_ = 0;
    Chunk* chunk_ = nullptr;
    std::vector<SingleReference> singles_;
    std::vector<SingleReference> sorted_;
    std::vector<uint32_t> starts_;
    uint64_t singles_weight_ = 0;
  };

  uint64_t first_cluster() const { return first_cluster_; }
  // Reading (no Writer may exist).
  uint64_t end_cluster() const { return end_cluster_; }
  // The cell of one cluster.
  ReferenceCell At(uint64_t cluster) const;
  // Calls `visit(first_cluster, clusters, cell)` for consecutive runs of like
  // clusters that cover [first, end) without gaps, unreferenced runs included.
  // A run never crosses a chunk; neighbours may be alike.
  template <typename Visit>
  void ForEachRun(uint64_t first, uint64_t end, Visit visit) const;
  // Indexes of the chunks that hold anything, ascending.
  std::vector<uint64_t> ChunkIndexes() const;

  // Most bytes the chunks ever took.
  uint64_t peak_memory_bytes() const { return peak_memory_bytes_; }

 private:
  static constexpr uint64_t kShards = 64;
  struct Shard {
    mutable std::mutex mutex;
    absl::flat_hash_map<uint64_t, std::unique_ptr<Chunk>> chunks;
  };

  Shard& ShardOf(uint64_t chunk_index) const {
    return shards_[chunk_index % kShards];
  }
  const Chunk* FindChunk(uint64_t chunk_index) const;
  void AccountMemory(int64_t delta_bytes);
  // Drops the upper half of the chunks and moves the end down to them.
  void ShrinkWindow();

  const uint64_t first_cluster_;
  std::atomic<uint64_t> end_cluster_;
  const uint64_t memory_limit_bytes_;
  std::atomic<int64_t> memory_bytes_{0};
  std::atomic<uint64_t> peak_memory_bytes_{0};
  std::mutex shrink_mutex_;
  std::unique_ptr<Shard[]> shards_;
};

// A chunk: the cells of kChunkClusters clusters. Not thread-safe.
class ReferenceMap::Chunk {
 public:
  Chunk() : runs_{{0, {}}} {}

  void Add(uint32_t begin, uint32_t end, uint64_t weight, uint32_t flags);
  // Adds `weight` references to each of the clusters, which are in this chunk.
  void AddSingles(std::span<const SingleReference> singles, uint64_t weight);
  ReferenceCell At(uint32_t index) const;
  // The end of the run of cells like the one at `index`, at most `limit`.
  uint32_t RunEnd(uint32_t index, uint32_t limit) const;
  uint64_t MemoryBytes() const;

 private:
  struct Run {
    uint32_t begin;
    ReferenceCell cell;
  };
  // How cells are held: as runs; as an array of four-bit codes, two a byte,
  // for the cells that real images are made of; or as an array of words of 8,
  // 16 or 64 bits with the flags in the low kFlagBits and the count above.
  enum class Form { kRuns, kCodes, kBytes, kHalfwords, kWords };
  static constexpr int kFlagBits = 4;
  static constexpr uint32_t kFlagMask = (1u << kFlagBits) - 1;
  // Beyond this many runs an array is smaller or faster.
  static constexpr size_t kMaxRuns = 256;
  // So many separate clusters at once make an array worth while.
  static constexpr size_t kManySingles = 128;

  static ReferenceCell Sum(ReferenceCell cell, uint64_t weight, uint32_t flags);
  void AddToRuns(uint32_t begin, uint32_t end, uint64_t weight, uint32_t flags);
  // Index in runs_ of the run that holds `index`.
  size_t FindRun(uint32_t index) const;
  // Makes a run begin at `index`; returns its place in runs_.
  size_t SplitAt(uint32_t index);
  // These go as far as the form can hold the sums, moving `begin`; false if
  // something is left for a wider form.
  bool AddToCodes(uint32_t& begin, uint32_t end, uint64_t weight,
                  uint32_t flags);
  template <typename Word>
  bool AddToArray(std::vector<Word>& cells, uint32_t& begin, uint32_t end,
                  uint64_t weight, uint32_t flags);
  uint32_t CodeAt(uint32_t index) const {
    return codes_[index / 2] >> (index % 2 * 4) & 15u;
  }
  uint32_t EndOfLikeCodes(uint32_t index, uint32_t limit) const;
  void ConvertRunsToCodes();
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
  std::vector<uint8_t> codes_;
  std::vector<uint8_t> bytes_;
  std::vector<uint16_t> halfwords_;
  std::vector<uint64_t> words_;
};

template <typename Visit>
void ReferenceMap::ForEachRun(uint64_t first, uint64_t end, Visit visit) const {
  while (first < end) {
    const uint64_t chunk_index = first / kChunkClusters;
    const uint64_t base = chunk_index * kChunkClusters;
    const uint64_t stop =
        end - base < kChunkClusters ? end : base + kChunkClusters;
    const Chunk* chunk = FindChunk(chunk_index);
    if (chunk == nullptr) {
      visit(first, stop - first, ReferenceCell{});
      first = stop;
      continue;
    }
    while (first < stop) {
      const uint32_t begin = static_cast<uint32_t>(first - base);
      const uint32_t run_end =
          chunk->RunEnd(begin, static_cast<uint32_t>(stop - base));
      visit(first, uint64_t{run_end} - begin, chunk->At(begin));
      first = base + run_end;
    }
  }
}

}  // namespace qcow2::checker

#endif  // CHECKER_REFERENCE_MAP_H_
