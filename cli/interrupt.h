// Ctrl-C: a flag that the check looks at.
#ifndef CLI_INTERRUPT_H_
#define CLI_INTERRUPT_H_

#include <atomic>

namespace qcow2::cli {

// From now on the first SIGINT or SIGTERM sets the flag that is returned; a
// second one ends the process as usual. SIGPIPE is ignored, so that a report
// that nobody reads is an error of its own. For main() to call, once.
const std::atomic<bool>& CancelOnInterrupt();

}  // namespace qcow2::cli

#endif  // CLI_INTERRUPT_H_
