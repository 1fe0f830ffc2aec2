// Carries out a parsed command line and says what to exit with.
#ifndef CLI_RUN_H_
#define CLI_RUN_H_

#include "cli/options.h"
#include "cli/surroundings.h"

namespace qcow2::cli {

// Explains a problem, or checks the images and prints their reports. Returns
// the process' exit code (see exit_code.h).
int Run(const Options& options, const Surroundings& surroundings);

// The same for --compat=qemu-img, whose exit codes differ.
int RunCompat(const Options& options, const Surroundings& surroundings);

}  // namespace qcow2::cli

#endif  // CLI_RUN_H_
