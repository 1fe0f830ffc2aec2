// Giving the space of free clusters back, which no repair does by itself: a
// freed cluster may hold the last copy of something until the user says that it
// does not.
//
// Writes to free clusters of the image, and removes an undo file where it may.
#ifndef REPAIR_DISCARD_FREED_H_
#define REPAIR_DISCARD_FREED_H_

#include <string>

#include "checker/check.h"
#include "engine/storage/file.h"
#include "repair/journal/journal.h"
#include "repair/target.h"
#include "repair/transaction_report.h"

namespace qcow2::repair {

struct DiscardRequest {
  checker::CheckOptions check;
  // Say what would be given back. Opens the image for reading, with a reader's
  // locks.
  bool dry_run = false;
  JournalPaths paths;
  // Refuse when there is an undo file, rather than remove it: what it puts back
  // may name clusters that are free now.
  bool keep_undo = true;
  OpenRemote open_remote = {};  // for an image that is no local file
};

// Checks the image at `path` in full and punches every free cluster out of its
// file, whose length stays. Never fails: what was not done is in the report,
// with the reason.
//
// Refused, kNotStarted and nothing written, when the image cannot be opened for
// writing or is in use; when a journal is pending; unless the check finds
// neither corruptions nor leaks and could read everything; and when there is an
// undo file. An external data file is left as it is.
//
// kNotCommitted: it was not carried through. What had been given back by then
// is in the report; the image is as clean as before.
RepairReport DiscardFreed(const std::string& path,
                          const DiscardRequest& request);

// The same for an open image, without a look at pending journals.
RepairReport DiscardFreed(File& image, const std::string& path,
                          const JournalPlace& place,
                          const DiscardRequest& request);

}  // namespace qcow2::repair

#endif  // REPAIR_DISCARD_FREED_H_
