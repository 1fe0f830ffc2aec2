// Copying the contents of one disk to another, with several threads.
//
// Reads the source, writes the target; opens and closes neither.
#ifndef ENGINE_OPERATIONS_COPY_H_
#define ENGINE_OPERATIONS_COPY_H_

#include <cstdint>

#include "absl/status/status.h"
#include "engine/image/guest_disk.h"
#include "engine/image/image.h"
#include "engine/operations/operation_control.h"

namespace qcow2 {

struct CopyOptions {
  // Threads that read, compress and write; 0: one per processor, at most 8.
  unsigned threads = 0;
  // Zeros in the source's data are found in blocks of this many bytes, and not
  // written; 0: zeros that are stored as data are written as data.
  uint64_t sparse_block_bytes = 4096;
  // What is not written to the target reads as zeros. Else zeros are written.
  bool target_reads_zeros = false;
  // Only what the source's first layer has is copied; the rest shows from below
  // the target as well.
  bool first_layer_only = false;
  OperationControl control;
};

// Makes the target's first source.size_bytes() bytes those of the source.
// InvalidArgument if it has not so many; Cancelled; else what the disks say.
// After an error the target holds part of it. Does not flush. Memory: about
// 1 MiB a thread.
absl::Status CopyDisk(GuestDisk& source, GuestDisk& target,
                      const CopyOptions& options);

// The same, storing compressed clusters in the order of the disk, so that the
// outcome does not depend on the number of threads. Clusters that do not get
// smaller are stored as they are.
absl::Status CopyDiskCompressed(GuestDisk& source, Image& target,
                                const CopyOptions& options);

}  // namespace qcow2

#endif  // ENGINE_OPERATIONS_COPY_H_
