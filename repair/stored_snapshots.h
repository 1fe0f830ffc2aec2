// The snapshot table as a repair reads it: entry by entry, and where a length
// in an entry cannot be true, by the one that explains what stands there.
//
// Reads only. Keeps no more than the 64 MiB a table may have.
#ifndef REPAIR_STORED_SNAPSHOTS_H_
#define REPAIR_STORED_SNAPSHOTS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "checker/image_model.h"
#include "engine/format/snapshot_table.h"
#include "engine/storage/file.h"

namespace qcow2::repair {

struct StoredSnapshot {
  uint64_t index = 0;
  // Whole; of the extra data at most as much as programs accept.
  SnapshotEntry entry;
  // Bytes of extra data by the entry's own word.
  uint64_t stored_extra_size = 0;
  // A length was not taken by the entry's own word.
  bool reshaped = false;
};

struct StoredSnapshotTable {
  uint64_t offset = 0;
  // Bytes from the start to the end of the last entry.
  uint64_t length = 0;
  std::vector<StoredSnapshot> entries;
  // As many entries as asked for were found.
  bool complete = false;
};

// The table of up to `count` entries at `offset` of `view`, which `model` is
// of. Ends before an entry that reaches past the end of the file or the limit
// of the table, or that cannot be read.
StoredSnapshotTable ReadSnapshotTable(const File& view,
                                      const checker::ImageModel& model,
                                      uint64_t offset, uint64_t count);

// How many entries at `offset`, at most `limit`, leave no doubt that they are
// some: printable, with different IDs, and an L1 table inside the file. Bytes
// they fill go to `length` if it is given.
uint64_t CountCertainSnapshots(const File& view,
                               const checker::ImageModel& model,
                               uint64_t offset, uint64_t limit,
                               uint64_t* length = nullptr);

}  // namespace qcow2::repair

#endif  // REPAIR_STORED_SNAPSHOTS_H_
