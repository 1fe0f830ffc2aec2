#include "cli/remote_images.h"

#include <utility>

#include "engine/status_macros.h"
#include "engine/storage/nbd_file.h"

namespace qcow2::cli {

absl::StatusOr<std::unique_ptr<File>> OpenRemoteImage(
    const std::string& address, const RemoteOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                   NbdFile::Open(address, {.writable = options.writable,
                                           .connection = {
                                               .timeout = options.timeout,
                                               .cancel = options.cancel,
                                           }}));
  return file;
}

}  // namespace qcow2::cli
