#include "repair/journal/transaction_check.h"

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

namespace qcow2::repair {

absl::Status CheckTransaction(const File& image, const ImageIdentity& identity,
                              const File& journal, const JournalFront& front,
                              ExpectImage expected, bool accept_moved_image) {
  if (identity.is_block_device &&
      front.header->old_size != front.header->new_size) {
    return absl::FailedPreconditionError(
        absl::StrCat("the journal changes the length of the image, and '",
                     image.name(), "' cannot change its own"));
  }
  absl::Status contents = VerifyImage(image, journal, front, expected);
  if (absl::IsDataLoss(contents)) return contents;
  const absl::Status same = CheckIdentity(image, identity, *front.header);
  if (same.ok() || (accept_moved_image && contents.ok())) return contents;
  if (contents.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        same.message(),
        ", but the contents are those it was written for: the "
        "image was moved, or this is a copy of it; if it is the one "
        "that is meant, --moved-image has it taken"));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      same.message(), ", with other contents: ", contents.message()));
}

}  // namespace qcow2::repair
