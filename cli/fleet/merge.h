// Several reports of runs over many images as one, as of the shards of a fleet.
#ifndef CLI_FLEET_MERGE_H_
#define CLI_FLEET_MERGE_H_

#include "cli/options.h"
#include "cli/surroundings.h"

namespace qcow2::cli {

// Prints the reports in the files that `options.images` names as one, with one
// summary. Returns the exit code: those of the runs ORed. A report that cannot
// be read or was cut short, and an image that is in two of them, are errors.
int Merge(const Options& options, const Surroundings& surroundings);

}  // namespace qcow2::cli

#endif  // CLI_FLEET_MERGE_H_
