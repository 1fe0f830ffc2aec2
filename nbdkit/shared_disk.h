// SharedDisk: the one image that all connections use. The first connection
// opens it and the last one closes it, so that a client that has gone leaves an
// image that is complete and that others may open.
#ifndef NBDKIT_SHARED_DISK_H_
#define NBDKIT_SHARED_DISK_H_

#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/image/guest_disk.h"
#include "engine/image/image.h"
#include "engine/image/snapshot_disk.h"
#include "engine/mutex.h"
#include "nbdkit/parameters.h"

namespace qcow2::nbdkit {

// Several threads may use it at once.
class SharedDisk {
 public:
  // `parameters` must outlive it.
  explicit SharedDisk(const Parameters& parameters) : parameters_(parameters) {}

  // Opens the image for reading and closes it: whether it can be served. Errors
  // of OpenImage and SnapshotDisk::Open.
  absl::Status Try() const;

  // The disk, for one more connection; opened if this is the only one, for
  // writing if that is wanted and the parameters allow it. Errors
  // as above.
  absl::StatusOr<GuestDisk*> Connect(bool for_writing);

  // Ends a connection. Closes the image after the last one, and returns what
  // was not written then.
  absl::Status Disconnect();

  // Of the open image. REQUIRES: a connection.
  uint64_t cluster_size() const;

 private:
  // The image, and the snapshot of it that is served.
  struct Opened {
    std::unique_ptr<Image> image;
    std::unique_ptr<SnapshotDisk> snapshot;  // null: the disk as it is

    GuestDisk* disk() const {
      if (snapshot != nullptr) return snapshot.get();
      return image.get();
    }
  };
  absl::StatusOr<Opened> Open(bool for_writing) const;

  const Parameters& parameters_;
  mutable Mutex mutex_;
  uint64_t connections_ ABSL_GUARDED_BY(mutex_) = 0;
  Opened opened_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace qcow2::nbdkit

#endif  // NBDKIT_SHARED_DISK_H_
