// Metadata: the tables of an open image and the order in which they reach the
// file.
//
// Nothing here is written when it changes. Changes gather in memory until
// Commit, which writes them so that at any point of a crash, with any order of
// the writes between two flushes, the file has at most leaked clusters:
//
//   1. counts that were raised   refcount blocks, flush, refcount table entries
//   2. flush                     (takes along guest data that was copied)
//   3. new mappings              L2 tables, flush, L1 entries
//   4. flush
//   5. counts that go down       in memory; written by the next commit
//
// A cluster is free for others only after step 5. With lazy refcounts the dirty
// bit is set first and steps 1 and 2 wait for Close.
//
// One thread at a time; Image holds the lock. Writes tables and the header of
// the file it is given, never guest data.
#ifndef ENGINE_IMAGE_METADATA_H_
#define ENGINE_IMAGE_METADATA_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/format/geometry.h"
#include "engine/format/l1_entry.h"
#include "engine/format/l2_entry.h"
#include "engine/format/snapshot_table.h"
#include "engine/format/types.h"
#include "engine/image/cluster_cache.h"
#include "engine/image/header_store.h"
#include "engine/image/overlap_guard.h"
#include "engine/image/refcounts.h"
#include "engine/storage/file.h"

namespace qcow2 {

// Why clusters were given back: which of the pass-discard options applies.
enum class FreeReason {
  kNever,     // keeps its bytes in the file
  kAlways,    // its bytes are given back to the file system
  kRequest,   // the guest discarded it
  kSnapshot,  // a snapshot was deleted
  kOther,
};

struct MetadataOptions {
  bool writable = false;
  // Tables kept in memory.
  size_t l2_cache_tables = 16;
  size_t refcount_cache_tables = 4;
  bool lazy_refcounts = false;
  bool pass_discard_request = true;
  bool pass_discard_snapshot = true;
  bool pass_discard_other = false;
  // Classes of the write guard.
  uint32_t overlap_check = kOverlapCached;
  // The snapshot table may be damaged, and tables that the file ends inside
  // lead to errors from there on.
  bool salvage = false;
};

class Metadata {
 public:
  // `file` must outlive the metadata. Reads the L1 and refcount tables and the
  // snapshot table; errors name structure, offset and value.
  static absl::StatusOr<std::unique_ptr<Metadata>> Load(
      File& file, HeaderArea area, const MetadataOptions& options);

  const Geometry& geometry() const { return geometry_; }
  const MetadataOptions& options() const { return options_; }
  const HeaderArea& area() const { return header_.area(); }
  const Header& header() const { return header_.header(); }
  Refcounts& refcounts() { return *refcounts_; }
  OverlapGuard& guard() { return guard_; }
  File& file() { return file_; }
  const std::vector<SnapshotEntry>& snapshots() const { return snapshots_; }

  // --- reading ---
  uint64_t l1_size() const { return l1_.size(); }
  const std::vector<uint64_t>& l1() const { return l1_; }
  L1Entry l1_entry(uint64_t index) const { return L1Entry(l1_[index]); }
  // The L2 table of an L1 entry, null if it has none. DataLoss for an entry
  // that cannot be right.
  absl::StatusOr<CachedTable*> L2ForRead(L1Entry entry);

  // --- changing; nothing below works on an image opened read-only ---
  // To be called before anything changes: FailedPrecondition if the image may
  // not be written; else sees to the header's bits (unknown autoclear features
  // off, dirty on with lazy refcounts) and to the caches' size.
  absl::Status BeginChange();
  // The active L2 table of that L1 index, made or copied if it is missing or
  // shared, to be changed by SetL2Entry.
  absl::StatusOr<CachedTable*> L2ForWrite(uint64_t l1_index);
  void SetL2Entry(CachedTable* table, uint64_t index, L2Entry entry);
  void SetL1Entry(uint64_t index, L1Entry entry);

  // Neighbouring clusters for data, counted once.
  struct Allocation {
    ClusterRun run;
    bool reads_zeros = false;  // never used before: zeros in the file
  };
  // At least 1 cluster and up to `most`, if possible from `wish` on.
  absl::StatusOr<Allocation> AllocateData(uint64_t most, HostCluster wish);
  // `clusters` neighbouring ones for a table.
  absl::StatusOr<HostCluster> AllocateTable(uint64_t clusters);
  // Room for `bytes` of compressed data (at most a cluster), packed behind the
  // data stored last; every cluster it touches is counted once more.
  absl::StatusOr<HostOffset> AllocateBytes(uint64_t bytes);
  // Counts them once less when nothing in the file names them any more.
  void FreeLater(ClusterRun run, FreeReason reason);
  // The same for what an active L2 entry names.
  void FreeEntryLater(L2Entry entry, FreeReason reason);
  // Counts them once less now: nothing on stable storage names them any more.
  // A count that is 0 already marks the image corrupt. Those whose count could
  // not be read are freed later.
  absl::Status FreeNow(ClusterRun run, FreeReason reason);

  // Makes `next` the header area, after everything else was committed.
  absl::Status SwitchHeader(HeaderArea next);
  // The same, and `snapshots` is what its snapshot table holds. The old table
  // is given back.
  absl::Status SwitchSnapshots(HeaderArea next,
                               std::vector<SnapshotEntry> snapshots);
  // Replaces the active L1 table by one with these entries at a new place,
  // along with other fields of the header in `next`. The old table is given
  // back; what its entries named is the caller's business.
  absl::Status ReplaceL1(HeaderArea next, std::vector<uint64_t> entries);

  // Writes what changed, in order. What could not be written is tried again by
  // the next commit.
  absl::Status Commit();
  // Commits and returns when all of it, guest data included, survives a crash.
  absl::Status Flush();
  // Flush, and the counts on disk are up to date even with lazy refcounts.
  absl::Status FlushCounts();
  // Flushes, brings the counts on disk up to date and clears the dirty bit.
  absl::Status Close();
  // Says that guest data was written to a file since the last flush.
  void NoteDataWritten() { unflushed_.store(true); }  // from any thread
  // Another file that a flush has to include: the external data file.
  void set_data_file(File* file) { data_file_ = file; }

  // Refuses (DataLoss) a write to `range` if metadata of another class than
  // `own` lies there, and then marks the image corrupt.
  absl::Status GuardWrite(ByteRange range, uint32_t own = 0);
  // Sets the corrupt bit and ends all writing. Returns DataLoss with `why`.
  absl::Status MarkCorrupt(const std::string& why);
  // Brings the caches back to their size. Pointers to tables are void then.
  void TrimTables();
  // Cached tables that were not used since the last call are dropped.
  void DropUnusedTables();
  // Cached tables are dropped; all must be written.
  void DropTables();

 private:
  Metadata(File& file, HeaderArea area, const Geometry& geometry,
           const MetadataOptions& options);

  absl::Status MarkInUse();
  absl::Status LoadL1();
  absl::Status LoadSnapshots();
  void AddOwners();
  // The clusters of the snapshot table; none if there are no snapshots.
  ClusterRun SnapshotTableRun() const;
  // The L1 tables of the snapshots, and the L2 tables where those are watched.
  absl::Status AddSnapshotOwners();
  void RemoveSnapshotOwners(ClusterRun table);
  absl::Status CheckTableOffset(uint64_t offset, const std::string& what);
  absl::Status WriteRefcounts();
  absl::Status WriteMappings();
  absl::Status WriteL1();
  absl::Status FlushFiles();
  absl::Status ApplyFrees();
  // Clusters that one refcount block counts.
  absl::Status CountDown(ClusterRun run, FreeReason reason);
  // Compressed data must not follow what lay in a cluster that became free.
  void ForgetFreeBytes(ClusterRun freed);
  bool PassesDiscard(FreeReason reason) const;

  struct PendingFree {
    ClusterRun run;
    FreeReason reason;
  };

  File& file_;
  File* data_file_ = nullptr;
  const Geometry geometry_;
  const MetadataOptions options_;
  HeaderStore header_;
  OverlapGuard guard_;
  std::unique_ptr<Refcounts> refcounts_;
  ClusterCache l2_;
  std::vector<uint64_t> l1_;
  std::set<uint64_t> dirty_l1_sectors_;
  std::vector<SnapshotEntry> snapshots_;
  std::vector<PendingFree> frees_;
  // What the guard was told to watch as inactive L2 tables.
  std::vector<ClusterRun> inactive_l2_;
  // Clusters from here on were never used: zeros in the file.
  HostCluster fresh_from_;
  // Where the compressed data stored last ends; 0 where none can follow it.
  uint64_t free_byte_offset_ = 0;
  // Written to a file, but perhaps not flushed.
  std::atomic<bool> unflushed_ = false;
  absl::Status corrupt_;
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_METADATA_H_
