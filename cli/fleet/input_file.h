// Reads a file that an earlier run of the program wrote.
#ifndef CLI_FLEET_INPUT_FILE_H_
#define CLI_FLEET_INPUT_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace qcow2::cli {

// All of the regular file at `path`. NotFound if there is none, InvalidArgument
// if it is something else or has more than `max_bytes`; else what the system
// says.
absl::StatusOr<std::string> ReadInput(const std::string& path,
                                      uint64_t max_bytes);

}  // namespace qcow2::cli

#endif  // CLI_FLEET_INPUT_FILE_H_
