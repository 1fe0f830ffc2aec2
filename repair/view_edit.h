// Writing structures of the format into a view.
//
// Writes to the file it is given and nowhere else.
#ifndef REPAIR_VIEW_EDIT_H_
#define REPAIR_VIEW_EDIT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "engine/format/geometry.h"
#include "engine/format/header.h"
#include "engine/format/l1_entry.h"
#include "engine/format/l2_entry.h"
#include "engine/format/refcount_table_entry.h"
#include "engine/storage/file.h"

namespace qcow2::repair {

// Writes entry `index` of the table at host offset `table` (bytes).
absl::Status WriteL1Entry(File& view, uint64_t table, uint64_t index,
                          L1Entry entry);
absl::Status WriteL2Entry(File& view, const Geometry& geometry, uint64_t table,
                          uint64_t index, L2Entry entry);
absl::Status WriteRefcountTableEntry(File& view, uint64_t table, uint64_t index,
                                     RefcountTableEntry entry);

// Writes the header's own bytes; what follows them in cluster 0 stays.
absl::Status WriteHeader(File& view, const Header& header);

// Copies `length` bytes within the file; what lies past its end is zeros.
// `from` and `to` must not overlap.
absl::Status CopyBytes(File& view, uint64_t from, uint64_t to, uint64_t length);

// Writes zeros over [offset, offset + length).
absl::Status WriteZeros(File& view, uint64_t offset, uint64_t length);

}  // namespace qcow2::repair

#endif  // REPAIR_VIEW_EDIT_H_
