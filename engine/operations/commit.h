// Committing an image: what it has goes into its backing disk.
#ifndef ENGINE_OPERATIONS_COMMIT_H_
#define ENGINE_OPERATIONS_COMMIT_H_

#include <string>

#include "absl/status/status.h"
#include "engine/image/image.h"
#include "engine/image/image_chain.h"
#include "engine/operations/operation_control.h"

namespace qcow2 {

struct CommitOptions {
  // Whether the image is emptied afterwards, so that all of it shows from the
  // backing disk.
  bool empty_image = true;
  // As in CopyOptions.
  unsigned threads = 0;
  OperationControl control;
};

// Writes what `image` itself has to its backing disk, which is made longer if
// it is shorter, and empties the image once that is on stable storage. A crash
// leaves the image with everything it had, or an emptied one over a backing
// disk with everything, and leaked clusters at worst.
//
// FailedPrecondition for an image without a backing disk, or if either is not
// open for writing (see ChainOptions::writable_backing); Cancelled; else what
// the disks say.
absl::Status CommitImage(Image& image, const CommitOptions& options);

// The same for the image at `path`, opened and closed as `chain` says.
absl::Status CommitImageAt(const std::string& path, ChainOptions chain,
                           const CommitOptions& options);

}  // namespace qcow2

#endif  // ENGINE_OPERATIONS_COMMIT_H_
