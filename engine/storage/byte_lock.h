// QEMU's image locks on an open file: who may hold an image is told to other
// processes by open-file-description (OFD) locks on single bytes of it. Bytes
// are locked whether or not the file is long enough to have them, and no byte
// of the file is ever read or changed for it.
//
// Byte 100 + i is read-locked by whoever makes use of permission i, byte
// 200 + i by whoever does not let others make use of it. Read locks never
// refuse each other, so that everybody can state a claim first and then look
// whether it contradicts another's.
#ifndef ENGINE_STORAGE_BYTE_LOCK_H_
#define ENGINE_STORAGE_BYTE_LOCK_H_

#include <string>

#include "absl/status/status.h"
#include "engine/storage/file.h"

namespace qcow2 {

// States `request` on `descriptor` in place of what was stated before, and
// checks it against other processes' claims. Unavailable, with nothing locked,
// when they contradict; the message names `path` and what is contradicted. OK
// without effect where the file system has no OFD locks.
absl::Status AcquireByteLocks(int descriptor, const std::string& path,
                              LockRequest request);

// Withdraws everything stated on `descriptor`.
void ReleaseByteLocks(int descriptor);

}  // namespace qcow2

#endif  // ENGINE_STORAGE_BYTE_LOCK_H_
