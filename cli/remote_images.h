// Images at addresses of NBD servers. Two libraries have these functions, for a
// program to choose from: remote_images, which loads libnbd when it is needed,
// and no_remote_images, for a program that can load no library.
#ifndef CLI_REMOTE_IMAGES_H_
#define CLI_REMOTE_IMAGES_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/surroundings.h"
#include "engine/storage/file.h"

namespace qcow2::cli {

// Connects to the image at `address`, for which IsNbdAddress (nbd_address.h).
// Errors name it as ShownAddress does.
absl::StatusOr<std::unique_ptr<File>> OpenRemoteImage(
    const std::string& address, const RemoteOptions& options);

}  // namespace qcow2::cli

#endif  // CLI_REMOTE_IMAGES_H_
