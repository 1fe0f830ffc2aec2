// What a run of qcow2-tool reads and writes besides images, handed in by
// main(), and the codes it ends with.
#ifndef CLI_TOOL_CONSOLE_H_
#define CLI_TOOL_CONSOLE_H_

#include <atomic>
#include <string_view>

#include "absl/status/status.h"

namespace qcow2::tool {

inline constexpr std::string_view kProgramName = "qcow2-tool";

struct Console {
  int standard_input = 0;
  int standard_output = 1;
  int standard_error = 2;
  bool output_is_terminal = false;
  bool error_is_terminal = false;
  // Set by Ctrl-C; null: never.
  const std::atomic<bool>* cancel = nullptr;

  bool cancelled() const {
    return cancel != nullptr && cancel->load(std::memory_order_relaxed);
  }
};

// As qemu-img has them, except that it knows no code of its own for usage.
enum ExitCode : int {
  kExitDone = 0,
  kExitFailed = 1,
  kExitUsage = 2,
};

// Those of `compare`, as `qemu-img compare` has them.
enum CompareExitCode : int {
  kCompareSame = 0,
  kCompareDifferent = 1,
  kCompareFailed = 2,
};

// Prints "qcow2-tool: WHAT" to standard error. Where that fails there is
// nowhere else to say so.
void Complain(const Console& console, std::string_view what);
void Complain(const Console& console, const absl::Status& status);

}  // namespace qcow2::tool

#endif  // CLI_TOOL_CONSOLE_H_
