// Compares an image with a journal, to the last byte that either speaks of.
// Reads only.
#ifndef REPAIR_JOURNAL_IMAGE_VERIFIER_H_
#define REPAIR_JOURNAL_IMAGE_VERIFIER_H_

#include "absl/status/status.h"
#include "engine/storage/file.h"
#include "repair/journal/journal_reader.h"

namespace qcow2::repair {

enum class ExpectImage {
  kOld,    // Exactly the old one.
  kNew,    // Exactly the new one.
  kMixed,  // Every byte is one of the two, as a repair that was cut short (or
           // an undo) leaves it: torn writes mix them within a sector, and the
           // corrupt bit may be set on top. The length is in between.
};

// Reads all of the journal, whose front is `front` with a header, and compares
// the image with it: the length, every byte of every record, the witnesses, and
// that nothing but zeros is between the records past the shorter length.
//
// DataLoss: the journal is damaged. FailedPrecondition: the image differs; the
// message says what and where. Else an error of reading.
absl::Status VerifyImage(const File& image, const File& journal,
                         const JournalFront& front, ExpectImage expected);

// OK when `image` with this identity may be treated as the one of `header` once
// its contents are found to match. FailedPrecondition when it is another file.
//
// A file with the same inode number on another device passes: many devices get
// another number when the machine starts again. So do two block devices.
absl::Status CheckIdentity(const File& image, const ImageIdentity& identity,
                           const JournalHeader& header);

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_IMAGE_VERIFIER_H_
