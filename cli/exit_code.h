// What the program's exit codes mean: the one list of them, and how a report
// becomes a code.
//
// Pure, no I/O.
#ifndef CLI_EXIT_CODE_H_
#define CLI_EXIT_CODE_H_

#include <span>
#include <string>
#include <string_view>

#include "checker/report.h"
#include "cli/image_report.h"

namespace qcow2::cli {

// Bits of a mask, as fsck(8) has them; the codes of several images are OR-ed.
enum ExitCode : int {
  kExitClean = 0,
  kExitMended = 1,            // corruptions or leaks, by this run
  kExitErrorsLeft = 4,        // corruptions or leaks
  kExitOperationalError = 8,  // something could not be opened, read or written
  kExitUsageError = 16,       // wrong options
  kExitCancelled = 32,        // by SIGINT or SIGTERM
};

// The exit codes of `qemu-img check`, for --compat=qemu-img. Not a mask.
enum CompatExitCode : int {
  kCompatClean = 0,
  kCompatNotChecked = 1,  // wrong options, cannot open, errors while checking
  kCompatCorruptions = 2,
  kCompatLeaks = 3,
  kCompatNotSupported = 63,  // a format that has no check
};

struct ExitCodeRow {
  int code;
  std::string_view meaning;
};

// Every bit of ExitCode (and 0), ascending, with its meaning in a few words.
std::span<const ExitCodeRow> AllExitCodes();
// The meanings of all bits in `code`, e.g. "errors are left in the image".
std::string DescribeExitCode(int code);

// The code for one checked image. A check that was cancelled is kExitCancelled
// alone: what it had found by then is no verdict.
int ExitCodeOf(const checker::CheckReport& report);

// The same with what a repair made of the image, or failed to make of it; with
// a baseline by what is new.
int ExitCodeOf(const ImageReport& report);

}  // namespace qcow2::cli

#endif  // CLI_EXIT_CODE_H_
