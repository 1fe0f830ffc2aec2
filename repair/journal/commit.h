// Commit: from a plan that is proven to an image that is repaired, by way of a
// journal, so that at no moment there is anything but the old image, the new
// one, or a journal from which the next run makes the new one.
//
// Writes to the image and to the journal's folder; knows nothing of qcow2 but
// the corrupt bit in the header.
#ifndef REPAIR_JOURNAL_COMMIT_H_
#define REPAIR_JOURNAL_COMMIT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/storage/file.h"
#include "engine/storage/overlay_file.h"
#include "repair/journal/journal.h"

namespace qcow2::repair {

struct Transaction {
  // Open for writing, and locked against everybody else's writing.
  File& image;
  ImageIdentity identity;

  // The image as it shall be: an overlay over `image`. Its length becomes the
  // image's, which a block device refuses unless it is the same.
  const OverlayFile& planned;

  // What the plan was made from: while these bytes are not what they are now,
  // the transaction is neither finished later on nor undone. In any order; may
  // overlap each other, what is changed and the end of the file, of which
  // only the bytes outside of changes and inside of both images count.
  std::vector<ByteRange> witnesses;

  JournalPlace place;

  // Whether the journal is kept as an undo file afterwards.
  bool keep_undo = true;
};

struct CommitResult {
  // Why it failed, or OK. An error with ImageState::kNew is one of tidying up
  // afterwards: the repair itself is done.
  absl::Status status;
  ImageState image = ImageState::kOld;

  // Bytes of the image in records and witnesses, and of the journal.
  uint64_t changed_bytes = 0;
  uint64_t witness_bytes = 0;
  uint64_t journal_bytes = 0;

  // The name of the undo file, or "" when there is none.
  std::string undo_name;
  // What an older undo file was renamed to, or "" when there was none.
  std::string older_undo_name;
};

// Writes the journal, applies it to the image, and turns it into the undo file
// or removes it. Memory does not grow with the size of the change. Where the
// plan equals the image nothing is written and the status is OK.
//
// When something fails before the commit record, the journal is removed and
// the image was not touched (kOld). When it fails later, the old bytes are put
// back at once and the journal is removed (kOld); if this fails as well the
// journal stays (kPending), for Recover to finish.
//
// Errors before anything is written: FailedPrecondition when there is a journal
// already (Recover it first); ResourceExhausted when a block device would have
// to grow.
CommitResult Commit(const Transaction& transaction);

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_COMMIT_H_
