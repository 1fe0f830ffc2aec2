// Finds what differs between an image and its planned view, and writes that and
// the witnesses into a journal. Reads the image and the view.
#ifndef REPAIR_JOURNAL_DIFFERENCE_WRITER_H_
#define REPAIR_JOURNAL_DIFFERENCE_WRITER_H_

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "engine/storage/file.h"
#include "engine/storage/overlay_file.h"
#include "repair/journal/journal_format.h"
#include "repair/journal/journal_writer.h"

namespace qcow2::repair {

// Writes the entries, the image's header first, in the order of their offsets.
// The lengths in `header` are those of `image` and `planned`. Returns whether
// anything differs at all.
absl::StatusOr<bool> WriteDifferences(const File& image,
                                      const OverlayFile& planned,
                                      std::span<const ByteRange> witnesses,
                                      const JournalHeader& header,
                                      JournalWriter& writer);

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_DIFFERENCE_WRITER_H_
