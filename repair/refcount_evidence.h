// What the references found say of refcount structures whose own word cannot
// be trusted.
//
// Reads only.
#ifndef REPAIR_REFCOUNT_EVIDENCE_H_
#define REPAIR_REFCOUNT_EVIDENCE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "checker/graph.h"
#include "engine/storage/file.h"

namespace qcow2::repair {

// Whether `bytes` may be the counts of the clusters from `base` on, with
// mistakes: nothing but zeros, or not mostly wrong. A table entry hit by a bit
// may name a cluster that never held counts, and whatever it holds must not be
// written over.
bool CouldBeRefcountBlock(const checker::Graph& graph, uint64_t base,
                          std::span<const std::byte> bytes);

// The refcount_order (0 to 6) by which the blocks that are there agree with
// the references found; 4, the usual one, if no order fits or several do.
uint32_t LikelyRefcountOrder(const checker::Graph& graph, const File& view);

// The least refcount_order by which every count fits. Clusters whose owners
// overlap do not count: they are to be separated, not to be counted.
uint32_t RefcountOrderNeeded(const checker::Graph& graph);

}  // namespace qcow2::repair

#endif  // REPAIR_REFCOUNT_EVIDENCE_H_
