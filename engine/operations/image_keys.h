// The key slots of an image with LUKS encryption: which there are, and which
// passphrases open them. The guest's data and the key it is encrypted with stay
// as they are.
//
// The functions on a File want it locked for writing; OpenImageKeys sees to it.
#ifndef ENGINE_OPERATIONS_IMAGE_KEYS_H_
#define ENGINE_OPERATIONS_IMAGE_KEYS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/codec/luks_keys.h"
#include "engine/codec/secret.h"
#include "engine/format/luks_header.h"
#include "engine/storage/file.h"
#include "engine/storage/posix_file.h"

namespace qcow2 {

// Opens the file of the image at `path` to change its key slots, and locks it
// as an image that is written. Unavailable if somebody uses it.
absl::StatusOr<std::unique_ptr<PosixFile>> OpenImageKeys(
    const std::string& path);

// The LUKS header of the image in `file`. FailedPrecondition for an image that
// has no key slots: it is not encrypted, or with the old AES encryption;
// DataLoss or Unimplemented as ReadLuksHeader.
absl::StatusOr<LuksHeader> ReadImageKeys(const File& file);

// Lets `added` open what `known` opens; returns the key slot it is in. Nothing
// opens less before it returns, and a slot is active only once all of it is on
// stable storage. FailedPrecondition for an image that is marked corrupt; else
// as ReadImageKeys and AddLuksKey.
absl::StatusOr<size_t> AddImageKey(File& file, const Secret& known,
                                   const Secret& added,
                                   const LuksAddOptions& options = {});

// Takes a key slot out of use, and then overwrites its key material. What opens
// no other slot opens the image no more; copies of its first clusters made
// before still open with it. FailedPrecondition for the last slot that opens;
// else as AddImageKey and RemoveLuksSlot.
absl::Status RemoveImageKeySlot(File& file, size_t slot);

// The same for every slot that `passphrase` opens; returns which.
// PermissionDenied if there is none.
absl::StatusOr<std::vector<size_t>> RemoveImagePassphrase(
    File& file, const Secret& passphrase);

}  // namespace qcow2

#endif  // ENGINE_OPERATIONS_IMAGE_KEYS_H_
