// What a check may still ask of the system once its image is open.
//
// Changes what the whole process may do, for good.
#ifndef CLI_SANDBOX_H_
#define CLI_SANDBOX_H_

#include "absl/status/status.h"

namespace qcow2::cli {

// From here on this process can read from the files it has open, write to
// standard output and standard error, take memory, start threads of its own,
// and look at the clock. Whatever else it asks for fails with EPERM: opening,
// creating, renaming or removing a file, changing one that is open. To start a
// program or to open a socket ends it (SIGSYS).
//
// To be called before there are threads. An error, with nothing changed, where
// the kernel has no seccomp filters.
absl::Status EnterSandbox();

}  // namespace qcow2::cli

#endif  // CLI_SANDBOX_H_
