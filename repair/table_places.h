// Where the entries of the tables stand that a repair re-points: snapshot table
// and bitmap directory, whose entries vary in length, and tables of words.
//
// Reads only. Work is bounded by the tables' limits in the format and, for
// tables of words, by what the file holds there.
#ifndef REPAIR_TABLE_PLACES_H_
#define REPAIR_TABLE_PLACES_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checker/image_model.h"
#include "engine/storage/file.h"

namespace qcow2::repair {

// An entry that names a table: of the snapshot table (an L1 table) or of the
// bitmap directory (a bitmap table).
struct TableEntryPlace {
  // Bytes from the start of the table; the entry begins with the host offset
  // that it names.
  uint64_t position_bytes = 0;
  uint64_t named_offset_bytes = 0;
  // Entries of the table it names.
  uint64_t named_entries = 0;
};

struct EntryPlaces {
  std::vector<TableEntryPlace> entries;
  // The length of the table up to the end of the last entry.
  uint64_t length_bytes = 0;
};

// The entries of the snapshot table, as far as a check finds them.
absl::StatusOr<EntryPlaces> LocateSnapshots(const File& view,
                                            const checker::ImageModel& model);

// The entries of the bitmap directory, as far as a check finds them; none
// without a bitmaps extension.
absl::StatusOr<EntryPlaces> LocateBitmaps(const File& view,
                                          const checker::ImageModel& model);

// Calls `visit(index, word)` for each of the `words` 8-byte words from `offset`
// on that is not zero. What lies past the end of the file is zeros; holes are
// not read. Ends with the first error that `visit` returns.
absl::Status ForEachWord(
    const File& view, uint64_t offset, uint64_t words,
    const std::function<absl::Status(uint64_t index, uint64_t word)>& visit);

}  // namespace qcow2::repair

#endif  // REPAIR_TABLE_PLACES_H_
