// Converting a disk: a new image or raw file with the contents of a disk.
//
// Makes the files of the new disk; the source is only read.
#ifndef ENGINE_OPERATIONS_CONVERT_H_
#define ENGINE_OPERATIONS_CONVERT_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/codec/secret.h"
#include "engine/image/create_options.h"
#include "engine/image/guest_disk.h"
#include "engine/image/image_chain_names.h"
#include "engine/operations/operation_control.h"
#include "engine/storage/named_file.h"

namespace qcow2 {

struct ConvertOptions {
  // kQcow2 or kRaw.
  DiskFormat format = DiskFormat::kQcow2;
  // What the new image shall be. virtual_size 0 stands for the source's size,
  // rounded up to what an image can have. Of these a raw disk takes only size
  // and preallocation. Over a backing file, only what the source's first layer
  // has is written: the backing file must have what shows through it there.
  CreateOptions create;
  // Clusters are stored compressed, by create.compression_type.
  bool compressed = false;
  // As in CopyOptions.
  unsigned threads = 0;
  uint64_t sparse_block_bytes = 4096;
  // Which backing files of the new image are opened.
  NamedFilePolicy backing = NamedFilePolicy::kFollow;
  // Asked for the passphrases of the new image, and of its backing files.
  std::function<absl::StatusOr<Secret>(const std::string& path)> passphrase;
  OperationControl control;
};

// Writes the contents of `source` to a new disk at `path`, where a file that is
// there is overwritten. When this returns OK the disk is on stable storage.
//
// InvalidArgument for options that do not go together or a size below the
// source's; Unavailable if the file at `path` is in use, by the source too;
// else what creating, opening and copying say. After an error files that were
// not there before are gone again, and those that were hold part of the disk.
absl::Status ConvertDisk(GuestDisk& source, const std::string& path,
                         const ConvertOptions& options);

}  // namespace qcow2

#endif  // ENGINE_OPERATIONS_CONVERT_H_
