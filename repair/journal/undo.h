// Undo: gives back the exact image there was before a repair.
#ifndef REPAIR_JOURNAL_UNDO_H_
#define REPAIR_JOURNAL_UNDO_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"
#include "repair/journal/journal.h"
#include "repair/journal/recover.h"

namespace qcow2::repair {

struct UndoResult {
  // The length of the image, which is the old one again.
  uint64_t image_size = 0;
};

// Puts back what the undo file in `place` keeps, sets the old length, and
// removes the undo file. A run that is stopped on the way is finished by
// Recover (or by Undo) of the next one: the undo file is the journal meanwhile.
// `image` must be open for writing and locked.
//
// When a journal is pending, it is the one that is undone: the way out when a
// repair cannot be finished.
//
// NotFound when there is nothing to undo. Before a byte is written everything
// is verified as by Recover, but the bytes must be exactly those the repair
// wrote: FailedPrecondition, with what differs and where, when the image was
// changed since; DataLoss when the undo file is damaged.
absl::StatusOr<UndoResult> Undo(File& image, const ImageIdentity& identity,
                                const JournalPlace& place,
                                const RecoverOptions& options = {});

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_UNDO_H_
