// Whether a committed journal may be put to use on an image.
#ifndef REPAIR_JOURNAL_TRANSACTION_CHECK_H_
#define REPAIR_JOURNAL_TRANSACTION_CHECK_H_

#include "absl/status/status.h"
#include "engine/storage/file.h"
#include "repair/journal/image_verifier.h"
#include "repair/journal/journal.h"
#include "repair/journal/journal_reader.h"

namespace qcow2::repair {

// Verifies the journal, then the image's contents and identity. The error for
// another image tells whether the contents match: then it was moved or copied,
// and with `accept_moved_image` it is taken.
absl::Status CheckTransaction(const File& image, const ImageIdentity& identity,
                              const File& journal, const JournalFront& front,
                              ExpectImage expected, bool accept_moved_image);

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_TRANSACTION_CHECK_H_
