// Recover: finishes what a run that ended too early left behind. What is found
// in the journal is believed only after the image was compared with it.
#ifndef REPAIR_JOURNAL_RECOVER_H_
#define REPAIR_JOURNAL_RECOVER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"
#include "repair/journal/journal.h"

namespace qcow2::repair {

// What a journal says of itself.
struct JournalInfo {
  JournalState state = JournalState::kNone;
  // The image it was written for. All zero when kNone, or kIncomplete and not
  // even the header was written.
  ImageIdentity identity;
  uint64_t old_size = 0;
  uint64_t new_size = 0;
  uint64_t journal_bytes = 0;
};

// Looks at the journal called `name`, or at an undo file, without changing
// anything: for a check that only reads, which should say that a journal is
// pending. Cheap; it does not look at the records. DataLoss when the journal is
// damaged, FailedPrecondition when the file is no journal or one of another
// version.
absl::StatusOr<JournalInfo> InspectJournal(const Directory& directory,
                                           const std::string& name);

struct RecoverOptions {
  // Whether the image may be another file than the one the journal was written
  // for, as long as its contents match: it was moved or copied.
  bool accept_moved_image = false;
};

struct RecoverResult {
  // What was found.
  JournalState found = JournalState::kNone;
  // What the image is now. kOld without a journal, too.
  ImageState image = ImageState::kOld;
  // As in CommitResult.
  std::string undo_name;
  std::string older_undo_name;
};

// Finishes the journal in `place`, if there is one:
//   kIncomplete         it is discarded, the image is untouched;
//   kCommitted          the image is made the new one;
//   kApplied            the journal becomes the undo file, or goes;
//   kUndoing, kUndone   the image is made the old one, the journal goes.
// Can be stopped at any point and begun again. `image` must be open for writing
// and locked.
//
// Before a byte is written, all of the journal is verified, and the image
// against it: its identity, its length, that every byte to be changed is the
// old or the new one, and that the witnesses are what they were. Otherwise
// nothing is touched and the error says what does not match and where:
//   FailedPrecondition  another image's journal, no journal, another version,
//                       or the image was changed since;
//   DataLoss            the journal is damaged.
// Other errors are those of reading and writing; the journal is still there
// and Recover can be called again.
absl::StatusOr<RecoverResult> Recover(File& image,
                                      const ImageIdentity& identity,
                                      const JournalPlace& place,
                                      const RecoverOptions& options = {});

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_RECOVER_H_
