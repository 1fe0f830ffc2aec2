#include "nbdkit/shared_disk.h"

#include <utility>

#include "engine/status_macros.h"

namespace qcow2::nbdkit {

absl::StatusOr<SharedDisk::Opened> SharedDisk::Open(bool for_writing) const {
  ChainOptions options;
  options.writable = for_writing && parameters_.may_write();
  options.backing = parameters_.backing;
  options.data_file = parameters_.backing;
  options.tuning.salvage = parameters_.damaged;
  if (parameters_.passphrase.has_value()) {
    options.passphrase = [this](const std::string&) -> absl::StatusOr<Secret> {
      return Secret::CopyOf(parameters_.passphrase->bytes());
    };
  }
  Opened opened;
  ASSIGN_OR_RETURN(opened.image, OpenImage(parameters_.file, options));
  if (!parameters_.snapshot.empty()) {
    ASSIGN_OR_RETURN(opened.snapshot, SnapshotDisk::Open(opened.image->core(),
                                                         parameters_.snapshot));
  }
  return opened;
}

absl::Status SharedDisk::Try() const { return Open(false).status(); }

absl::StatusOr<GuestDisk*> SharedDisk::Connect(bool for_writing) {
  const MutexLock held(&mutex_);
  if (connections_ == 0) {
    ASSIGN_OR_RETURN(opened_, Open(for_writing));
  }
  ++connections_;
  return opened_.disk();
}

absl::Status SharedDisk::Disconnect() {
  const MutexLock held(&mutex_);
  if (--connections_ > 0) return absl::OkStatus();
  opened_.snapshot.reset();
  absl::Status status = opened_.image->Close();
  opened_.image.reset();
  return status;
}

uint64_t SharedDisk::cluster_size() const {
  const MutexLock held(&mutex_);
  return opened_.image->geometry().cluster_size();
}

}  // namespace qcow2::nbdkit
