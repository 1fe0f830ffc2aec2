// Hands out the images of a run to the threads that check them, with each one's
// share of threads and memory.
#ifndef CLI_FLEET_WORK_QUEUE_H_
#define CLI_FLEET_WORK_QUEUE_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace qcow2::cli {

// What all checks together may use.
struct SharedLimits {
  unsigned jobs = 1;
  uint64_t memory_bytes = 0;
  std::optional<std::chrono::steady_clock::time_point> deadline = std::nullopt;
  const std::atomic<bool>* cancel = nullptr;
};

// An image to check and what its check may use.
struct Work {
  size_t index = 0;
  unsigned jobs = 1;
  uint64_t memory_bytes = 0;
};

class WorkQueue {
 public:
  // Hands out 0, 1 ... one for each of `expected_seconds`, which says how long
  // each took the last time (0: not known).
  WorkQueue(std::vector<double> expected_seconds, const SharedLimits& limits)
      : expected_(std::move(expected_seconds)), limits_(limits) {}

  // The next image, or nothing more: all are handed out, the time is up, the
  // run was cancelled or stopped. An image that will not be done in time is
  // passed over, unless it is the first. The shares of all images that are
  // being checked never add up to more than the limits, but that each has a
  // thread.
  std::optional<Work> Take();
  // An image that was taken is done.
  void Done();
  // Hands out nothing more.
  void Stop();

  // Whether images were not handed out for lack of time.
  bool out_of_time() const;

 private:
  // Whether the image may begin now; `mutex_` is held.
  bool HasTimeFor(size_t index) const;

  const std::vector<double> expected_;
  const SharedLimits limits_;
  mutable std::mutex mutex_;
  // All below are guarded by mutex_.
  size_t next_ = 0;
  size_t running_ = 0;
  bool begun_ = false;
  bool stopped_ = false;
  bool out_of_time_ = false;
};

}  // namespace qcow2::cli

#endif  // CLI_FLEET_WORK_QUEUE_H_
