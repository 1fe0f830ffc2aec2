// ClusterCache: tables of one cluster each (L2 tables or refcount blocks), read
// when first asked for and written back when told to.
//
// Knows nothing of what is in a table, and never writes on its own: in which
// order tables reach the file is Metadata's to say.
#ifndef ENGINE_IMAGE_CLUSTER_CACHE_H_
#define ENGINE_IMAGE_CLUSTER_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/format/types.h"
#include "engine/storage/file.h"

namespace qcow2 {

// One cached table. Who changes `bytes` calls MarkDirty.
struct CachedTable {
  HostOffset offset;
  std::vector<std::byte> bytes;
  bool dirty = false;
  uint64_t last_used = 0;
};

class ClusterCache {
 public:
  // `what` names a table in messages ("L2 table"). Holds up to `capacity`
  // tables, and more while they are in use or dirty. `file` must outlive it.
  // Where it ends inside a table, the rest of it is taken to be `past_end`.
  ClusterCache(File& file, std::string what, uint64_t cluster_size,
               size_t capacity, std::byte past_end = std::byte{0});

  // The table at `offset`, good until Trim, Forget or DropAll. DataLoss if it
  // lies past the end of the file.
  absl::StatusOr<CachedTable*> Get(HostOffset offset);
  // A new table of zeros at `offset`; dirty. Nothing is read.
  CachedTable* Create(HostOffset offset);
  // Drops the table, even if dirty: its cluster is no longer one.
  void Forget(HostOffset offset);
  void DropAll();

  void MarkDirty(CachedTable* table);
  size_t dirty_count() const { return dirty_count_; }
  size_t capacity() const { return capacity_; }
  void set_capacity(size_t tables) { capacity_ = tables; }

  // Writes every dirty table, in the order of their offsets. `guard` is asked
  // before each; its error ends the call. What was not written stays dirty.
  absl::Status WriteDirty(const std::function<absl::Status(HostOffset)>& guard);
  // Drops clean tables that were not used for long, down to the capacity.
  void Trim();
  // Drops clean tables that nobody asked for since the last call.
  void DropUnused();

 private:
  File& file_;
  const std::string what_;
  const uint64_t cluster_size_;
  size_t capacity_;
  const std::byte past_end_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<CachedTable>> tables_;
  CachedTable* recent_ = nullptr;
  size_t dirty_count_ = 0;
  uint64_t clock_ = 0;
  uint64_t last_clean_ = 0;
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_CLUSTER_CACHE_H_
