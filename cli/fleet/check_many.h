// Checks many images side by side: finds them, decides on their order, shares
// threads and memory among them, and remembers what was done.
//
// Threads: as many as --jobs says, all joined before it returns.
#ifndef CLI_FLEET_CHECK_MANY_H_
#define CLI_FLEET_CHECK_MANY_H_

#include "absl/status/status.h"
#include "cli/options.h"
#include "cli/outputs.h"
#include "cli/surroundings.h"

namespace qcow2::cli {

// Checks what `options` name, adds each report to `outputs` as soon as the
// image is done and ends them. Of a run over a plain list the reports come in
// the order of the list. The codes of all images are ORed into `exit_code`; an
// error is one of the outputs or of the state file.
absl::Status CheckMany(const Options& options, const Surroundings& surroundings,
                       Outputs& outputs, int& exit_code);

}  // namespace qcow2::cli

#endif  // CLI_FLEET_CHECK_MANY_H_
