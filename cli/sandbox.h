// What a check may still ask of the system once its image is open.
//
// Changes what the whole process may do, for good.
#ifndef CLI_SANDBOX_H_
#define CLI_SANDBOX_H_

#include "absl/status/status.h"

namespace qcow2::cli {

// From here on this process can read from the files it has open, write to
// standard output and standard error, take memory, start threads of its own
// and send signals to them, and look at the clock. It can also ask for the size
// and dates of any file by its path, which no filter can tell from asking for
// those of an open one. Whatever else it asks for fails with EPERM: opening,
// creating, renaming or removing a file, changing one that is open, a signal to
// another process by tgkill(2). To start a program, to open a socket, or
// kill(2) ends it (SIGSYS).
//
// To be called before there are threads. An error, with nothing changed, where
// the kernel has no seccomp filters.
absl::Status EnterSandbox();

}  // namespace qcow2::cli

#endif  // CLI_SANDBOX_H_
