// qcow2-tool: makes, shows, reads, writes and changes qcow2 images.
#include <unistd.h>

#include <string>
#include <vector>

#include "cli/interrupt.h"
#include "cli/tool/tool.h"

int main(int argc, char** argv) {
  qcow2::tool::Console console;
  console.standard_input = STDIN_FILENO;
  console.standard_output = STDOUT_FILENO;
  console.standard_error = STDERR_FILENO;
  console.output_is_terminal = isatty(STDOUT_FILENO) == 1;
  console.error_is_terminal = isatty(STDERR_FILENO) == 1;
  console.cancel = &qcow2::cli::CancelOnInterrupt();
  return qcow2::tool::RunTool(std::vector<std::string>(argv + 1, argv + argc),
                              console);
}
