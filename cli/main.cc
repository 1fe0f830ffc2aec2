// qcow2-fsck: finds what is wrong with qcow2 images.
#include <unistd.h>

#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/run.h"
#include "cli/surroundings.h"

int main(int argc, char** argv) {
  using namespace qcow2::cli;
  const CommandLine command_line =
      ParseCommandLine(std::vector<std::string>(argv + 1, argv + argc));
  const Surroundings surroundings = {
      .standard_output = STDOUT_FILENO,
      .standard_error = STDERR_FILENO,
      .standard_error_is_terminal = isatty(STDERR_FILENO) == 1,
      .cancel = &CancelOnInterrupt(),
  };
  if (!command_line.options) {
    static_cast<void>(WriteAll(surroundings.standard_error,
                               command_line.standard_error, "standard error"));
    const absl::Status printed =
        WriteAll(surroundings.standard_output, command_line.standard_output,
                 "standard output");
    return printed.ok() ? command_line.exit_code : kExitOperationalError;
  }
  return command_line.options->qemu_compatible
             ? RunCompat(*command_line.options, surroundings)
             : Run(*command_line.options, surroundings);
}
