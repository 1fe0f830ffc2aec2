// The counts an image holds, looked up by cluster.
//
// Reads only.
#ifndef REPAIR_STORED_REFCOUNTS_H_
#define REPAIR_STORED_REFCOUNTS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "checker/graph.h"
#include "engine/storage/file.h"

namespace qcow2::repair {

// Keeps the block last looked at: cheap for clusters in order. Not
// thread-safe.
class StoredRefcounts {
 public:
  // Both must outlive the object; `graph` is of `view`.
  StoredRefcounts(const checker::Graph& graph, const File& view)
      : graph_(graph), view_(view) {}

  // The count of `cluster`; nothing when it is not known, because its block
  // cannot be read. Where there is no block, counts are zero.
  std::optional<uint64_t> At(uint64_t cluster);

  // The bytes of the block that counts `cluster`: empty where there is none or
  // it cannot be read. Valid until the next call.
  std::span<const std::byte> BlockOf(uint64_t cluster);

 private:
  enum class State { kNone, kRead, kUnknown };

  void Load(uint64_t table_index);

  const checker::Graph& graph_;
  const File& view_;
  std::optional<uint64_t> loaded_;  // a table index
  State state_ = State::kNone;
  std::vector<std::byte> bytes_;
};

}  // namespace qcow2::repair

#endif  // REPAIR_STORED_REFCOUNTS_H_
