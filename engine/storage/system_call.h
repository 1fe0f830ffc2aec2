// Calls into the operating system that name a file: made again when a signal
// interrupts them, and their errors as statuses.
#ifndef ENGINE_STORAGE_SYSTEM_CALL_H_
#define ENGINE_STORAGE_SYSTEM_CALL_H_

#include <cerrno>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace qcow2 {

// Calls `system_call` again for as long as a signal interrupts it. Returns what
// the last call did: -1 for an error, which errno has.
template <typename SystemCall>
auto Uninterrupted(SystemCall system_call) {
  auto result = system_call();
  while (result == -1 && errno == EINTR) result = system_call();
  return result;
}

// `error`, an errno value, as a status: "cannot open 'disk.qcow2': No such file
// or directory" for the operation "cannot open".
inline absl::Status SystemError(int error, const char* operation,
                                const std::string& path) {
  return absl::ErrnoToStatus(error, absl::StrCat(operation, " '", path, "'"));
}

}  // namespace qcow2

#endif  // ENGINE_STORAGE_SYSTEM_CALL_H_
