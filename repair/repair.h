// Repairing an image, from its path to the transaction's end: opens and locks
// it, finishes what an earlier run left, plans, proves, commits.
//
// The entry point of repair/. Writes to the image and to the folder of its
// journal, nowhere else; takes no back doors around the journal.
#ifndef REPAIR_REPAIR_H_
#define REPAIR_REPAIR_H_

#include <functional>
#include <string>

#include "checker/check.h"
#include "engine/storage/file.h"
#include "repair/journal/recover.h"
#include "repair/repair_options.h"
#include "repair/target.h"
#include "repair/transaction_report.h"

namespace qcow2::repair {

struct RepairRequest {
  // What concerns block devices is found out from the image.
  RepairOptions options;
  // Plan and prove only. Opens the image for reading, with a reader's locks.
  bool dry_run = false;
  JournalPaths paths;
  // Keep the journal as an undo file.
  bool keep_undo = true;
  OpenRemote open_remote;  // for an image that is no local file
  // Called, if given, with the image as it was found, under the repair's locks
  // and before anything is planned. Must not write to it.
  std::function<void(File& image)> look;
};

// Repairs the image at `path`. Never fails: what was not done is in the
// report, with the reason.
//
// Before anything is written the image is refused, kNotStarted, when it cannot
// be opened for writing or is in use; when a journal is pending that belongs
// to another image or is damaged; or when it has incompatible features that
// nobody here knows. A pending journal that fits is finished first. Nothing is
// written, no journal either, if there is nothing to do.
//
// `options.check.cancel` ends it up to the moment the commit begins; from then
// on it is carried through.
RepairReport RepairImage(const std::string& path, const RepairRequest& request);

struct RecoverRequest {
  // For the check afterwards.
  checker::CheckOptions check;
  JournalPaths paths;
  // Whether the image may have been moved or copied since.
  RecoverOptions options;
  OpenRemote open_remote = {};  // as in RepairRequest
};

// Finishes the journal of the image at `path`, if there is one, and checks the
// image. `before` and `after` are both of the image as it is then.
RepairReport RecoverImage(const std::string& path,
                          const RecoverRequest& request);

// Takes the last repair of the image at `path` back and checks the image.
RepairReport UndoImage(const std::string& path, const RecoverRequest& request);

}  // namespace qcow2::repair

#endif  // REPAIR_REPAIR_H_
