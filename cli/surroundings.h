// What a run of the program writes to and is told by, handed in by main().
#ifndef CLI_SURROUNDINGS_H_
#define CLI_SURROUNDINGS_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"

namespace qcow2::cli {

struct RemoteOptions {
  // Whether the image is to be changed.
  bool writable = false;
  // How long the server may give no sign of life.
  std::chrono::milliseconds timeout = std::chrono::seconds(60);
  const std::atomic<bool>* cancel = nullptr;
};

struct Surroundings {
  int standard_output = 1;
  int standard_error = 2;
  bool standard_error_is_terminal = false;
  const std::atomic<bool>* cancel = nullptr;
  // Opens an image at an address; see remote_images.h.
  std::function<absl::StatusOr<std::unique_ptr<File>>(
      const std::string& address, const RemoteOptions& options)>
      open_remote = {};
};

// Prints "qcow2-fsck: WHAT" to standard error. If that fails there is nowhere
// else to say so.
void Complain(const Surroundings& surroundings, std::string_view what);
void Complain(const Surroundings& surroundings, const absl::Status& status);

}  // namespace qcow2::cli

#endif  // CLI_SURROUNDINGS_H_
