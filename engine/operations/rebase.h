// Rebasing: giving an image another backing file.
#ifndef ENGINE_OPERATIONS_REBASE_H_
#define ENGINE_OPERATIONS_REBASE_H_

#include <string>

#include "absl/status/status.h"
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

// Gives the image at `path` the backing file of `options`. Unless it is unsafe
// the disk reads the same afterwards: what the new backing file has different
// is copied to the image first. A crash leaves the image with the old backing
// file and, perhaps, some of its bytes copied.
//
// As OpenImage, for both chains, and SetBackingFile.
absl::Status RebaseImage(const std::string& path, ChainOptions chain,
                         const RebaseOptions& options);

}  // namespace qcow2

#endif  // ENGINE_OPERATIONS_REBASE_H_
