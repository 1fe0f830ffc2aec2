// How long operations on whole disks are watched and ended early.
#ifndef ENGINE_OPERATIONS_OPERATION_CONTROL_H_
#define ENGINE_OPERATIONS_OPERATION_CONTROL_H_

#include <atomic>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"

namespace qcow2 {

struct OperationControl {
  // Told how many of the disk's bytes are done with. Called by one thread at a
  // time, with numbers that do not go down. May be empty.
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress;
  // When set and true, the operation ends soon, with Cancelled.
  const std::atomic<bool>* cancel = nullptr;

  absl::Status CheckCancelled() const {
    if (cancel == nullptr || !cancel->load()) return absl::OkStatus();
    return absl::CancelledError("cancelled");
  }
  void Report(uint64_t done_bytes, uint64_t total_bytes) const {
    if (progress) progress(done_bytes, total_bytes);
  }
};

}  // namespace qcow2

#endif  // ENGINE_OPERATIONS_OPERATION_CONTROL_H_
