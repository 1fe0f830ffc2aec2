// Rebasing: giving an image another backing file.
#ifndef ENGINE_OPERATIONS_REBASE_H_
#define ENGINE_OPERATIONS_REBASE_H_

#include <string>

#include "absl/status/status.h"
#include "engine/image/guest_disk.h"
#include "engine/image/image.h"
#include "engine/image/image_chain.h"
#include "engine/operations/operation_control.h"

namespace qcow2 {

struct RebaseOptions {
  // The new backing file's name as the image shall hold it, and its format,
  // "qcow2" or "raw"; an empty name: none any more.
  std::string backing_file = {};
  std::string backing_format = {};
  // Changes the name and nothing else; no backing file is opened. For a backing
  // file that was renamed, or has the same contents as the old one.
  bool unsafe = false;
  OperationControl control = {};
};

// Gives `image`, which is open for writing, the backing file of `options`.
// Unless it is unsafe the disk reads the same afterwards: what `backing`, the
// opened new backing file, has different is copied to the image first; null if
// there is to be none. A crash or an error leaves the image with the old
// backing file and, perhaps, some of its bytes copied, or with the new one and
// all of them.
//
// Cancelled; as SetBackingFile; else what the disks say.
absl::Status RebaseImage(Image& image, GuestDisk* backing,
                         const RebaseOptions& options);

// The same for the image at `path`, opened and closed as `chain` says, with the
// backing file that `options` names.
//
// As OpenImage, for both chains, besides.
absl::Status RebaseImageAt(const std::string& path, ChainOptions chain,
                           const RebaseOptions& options);

}  // namespace qcow2

#endif  // ENGINE_OPERATIONS_REBASE_H_
