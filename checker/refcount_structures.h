// The refcount table and the blocks it names.
//
// Reads only.
#ifndef CHECKER_REFCOUNT_STRUCTURES_H_
#define CHECKER_REFCOUNT_STRUCTURES_H_

#include <cstdint>
#include <vector>

#include "checker/check_state.h"
#include "checker/reference_map.h"

namespace qcow2::checker {

// A refcount table entry that is not zero.
struct RefcountBlock {
  uint64_t offset_bytes = 0;
  uint32_t table_index = 0;
  // The block can be read; where not, its counts are unknown (unaligned) or
  // read as zeros (past the end of the file).
  bool readable = false;
  bool past_end = false;
  // Occupies a cluster of the file.
  bool counted = false;
  // The same block is named by an entry before this one.
  bool duplicate = false;
};

// Whether qemu-img fails to read a block at that offset, rather than reading
// zeros past the end of the file: unaligned, or no file offset at all.
inline bool QemuCannotReadBlock(uint64_t offset_bytes,
                                const Geometry& geometry) {
  constexpr uint64_t kMaxFileOffset = ~uint64_t{0} >> 1;
  return !geometry.IsAligned(offset_bytes) ||
         offset_bytes > kMaxFileOffset - geometry.cluster_size();
}

struct RefcountStructures {
  // By table index.
  std::vector<RefcountBlock> blocks;
  // Blocks named by more than one entry: offset and how many entries, by
  // offset; every other counted block is named once.
  std::vector<std::pair<uint64_t, uint64_t>> named_repeatedly;
};

// Reads the refcount table and judges its entries (rows 301 to 304).
RefcountStructures ReadRefcountStructures(CheckState& state);

// Adds the blocks' own clusters to `map`.
void AddRefcountBlocks(const CheckState& state,
                       const RefcountStructures& structures, ReferenceMap& map);

// From the finished map: blocks whose cluster something else uses, too (row
// 305). Looks at blocks inside the map's range.
void FindSharedRefcountBlocks(CheckState& state,
                              const RefcountStructures& structures,
                              const ReferenceMap& map);

}  // namespace qcow2::checker

#endif  // CHECKER_REFCOUNT_STRUCTURES_H_
