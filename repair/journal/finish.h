// The last steps of a transaction, which committing, recovering and undoing
// share: the image is made one of the two, the journal says so, and goes.
#ifndef REPAIR_JOURNAL_FINISH_H_
#define REPAIR_JOURNAL_FINISH_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"
#include "repair/journal/journal.h"
#include "repair/journal/journal_reader.h"

namespace qcow2::repair {

// What became of the names. Each is "" when there is none.
struct RetiredNames {
  std::string undo_name;
  std::string older_undo_name;
};

// Applies a committed and verified journal and marks it as applied.
absl::Status FinishForward(File& image, File& journal,
                           const JournalFront& front);

// Marks a committed and verified journal as one to go back by, puts the old
// bytes back and marks it as undone.
absl::Status FinishBackward(File& image, File& journal,
                            const JournalFront& front);

// Renames the applied journal to the undo file, or removes it. An undo file of
// an earlier repair is kept: it gets the first free of the names NAME.1,
// NAME.2, ... first.
absl::StatusOr<RetiredNames> RetireJournal(const JournalPlace& place,
                                           bool keep_undo);

// Removes the journal for good.
absl::Status RemoveJournal(const JournalPlace& place);

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_FINISH_H_
