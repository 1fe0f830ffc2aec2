// What a cluster that should hold (or might hold) an L2 table looks like.
//
// Pure: works on bytes in memory.
#ifndef CHECKER_L2_SHAPE_H_
#define CHECKER_L2_SHAPE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "checker/l2_scan.h"
#include "engine/format/geometry.h"

namespace qcow2::checker {

enum class TableShape {
  kEmpty,          // nothing but zeros
  kL2Table,        // most entries that say anything are in order
  kRefcountBlock,  // small counts of the image's refcount width
  kOtherData,
};

// What the bytes look like, an L2 table or the first part of one; `entries`, if
// not null, gets the number of L2 entries in order.
TableShape ShapeOf(std::span<const std::byte> table, const Geometry& geometry,
                   const L2ScanRules& rules, uint64_t* entries);

}  // namespace qcow2::checker

#endif  // CHECKER_L2_SHAPE_H_
