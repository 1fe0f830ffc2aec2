// What a run of the program writes to and is told by, handed in by main().
#ifndef CLI_SURROUNDINGS_H_
#define CLI_SURROUNDINGS_H_

#include <atomic>
#include <string_view>

#include "absl/status/status.h"

namespace qcow2::cli {

struct Surroundings {
  int standard_output = 1;
  int standard_error = 2;
  bool standard_error_is_terminal = false;
  const std::atomic<bool>* cancel = nullptr;
};

// Prints "qcow2-fsck: WHAT" to standard error. If that fails there is nowhere
// else to say so.
void Complain(const Surroundings& surroundings, std::string_view what);
void Complain(const Surroundings& surroundings, const absl::Status& status);

}  // namespace qcow2::cli

#endif  // CLI_SURROUNDINGS_H_
