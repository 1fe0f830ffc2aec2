// RETURN_IF_ERROR and ASSIGN_OR_RETURN for absl::Status, which Abseil 20220623
// does not bring along. Named as later Abseil-based code names them, so that
// they can be swapped for a library's.
#ifndef ENGINE_STATUS_MACROS_H_
#define ENGINE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Leaves the function with `expression`'s status unless it is OK.
#define RETURN_IF_ERROR(expression)                           \
  do {                                                        \
    if (absl::Status status_ = (expression); !status_.ok()) { \
      return status_;                                         \
    }                                                         \
  } while (false)

#define QCOW2_STATUS_CONCAT_INNER(a, b) a##b
#define QCOW2_STATUS_CONCAT(a, b) QCOW2_STATUS_CONCAT_INNER(a, b)
#define QCOW2_ASSIGN_OR_RETURN(temporary, target, expression) \
  auto temporary = (expression);                              \
  if (!temporary.ok()) return std::move(temporary).status();  \
  target = *std::move(temporary)

// Assigns the value of a StatusOr expression to `target` (which may be a
// declaration), or leaves the function with its status.
#define ASSIGN_OR_RETURN(target, expression)                                \
  QCOW2_ASSIGN_OR_RETURN(QCOW2_STATUS_CONCAT(status_or_, __LINE__), target, \
                         expression)

#endif  // ENGINE_STATUS_MACROS_H_
