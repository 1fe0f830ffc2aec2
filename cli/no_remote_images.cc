#include "cli/remote_images.h"
#include "engine/storage/nbd_address.h"

namespace qcow2::cli {

absl::StatusOr<std::unique_ptr<File>> OpenRemoteImage(
    const std::string& address, const RemoteOptions& /*options*/) {
  return absl::UnimplementedError(
      "cannot open '" + ShownAddress(address) +
      "': this is the static build for rescue systems, which can load no "
      "libnbd; the other qcow2-fsck reads images at NBD addresses");
}

}  // namespace qcow2::cli
