// qcow2-fsck: finds what is wrong with qcow2 images.
#include <unistd.h>

#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/remote_images.h"
#include "cli/run.h"
#include "cli/surroundings.h"

namespace cli = qcow2::cli;

int main(int argc, char** argv) {
  const cli::CommandLine command_line =
      cli::ParseCommandLine(std::vector<std::string>(argv + 1, argv + argc));
  const cli::Surroundings surroundings = {
      .standard_output = STDOUT_FILENO,
      .standard_error = STDERR_FILENO,
      .standard_error_is_terminal = isatty(STDERR_FILENO) == 1,
      .cancel = &cli::CancelOnInterrupt(),
      .open_remote = cli::OpenRemoteImage,
  };
  if (!command_line.options) {
    static_cast<void>(cli::WriteAll(surroundings.standard_error,
                                    command_line.standard_error,
                                    "standard error"));
    const absl::Status printed =
        cli::WriteAll(surroundings.standard_output,
                      command_line.standard_output, "standard output");
    return printed.ok() ? command_line.exit_code : cli::kExitOperationalError;
  }
  return command_line.options->qemu_compatible
             ? cli::RunCompat(*command_line.options, surroundings)
             : cli::Run(*command_line.options, surroundings);
}
