#include "cli/fleet/work_queue.h"

#include <algorithm>

namespace qcow2::cli {

bool WorkQueue::HasTimeFor(size_t index) const {
  if (!limits_.deadline) return true;
  const auto now = std::chrono::steady_clock::now();
  if (now >= *limits_.deadline) return false;
  const std::chrono::duration<double> left = *limits_.deadline - now;
  // What takes longer than all of the time comes first at its turn.
  return !begun_ || expected_[index] <= left.count();
}

std::optional<Work> WorkQueue::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (stopped_ || (limits_.cancel != nullptr && *limits_.cancel)) return {};
  while (next_ < expected_.size() && !HasTimeFor(next_)) {
    out_of_time_ = true;
    ++next_;
  }
  if (next_ == expected_.size()) return {};
  // This number never grows during a run, so that the shares given out earlier
  // are at most as large as those given out now.
  const size_t side_by_side =
      std::min<size_t>(limits_.jobs, running_ + expected_.size() - next_);
  begun_ = true;
  ++running_;
  return Work{
      .index = next_++,
      .jobs = std::max(1u, limits_.jobs / static_cast<unsigned>(side_by_side)),
      .memory_bytes =
          std::max<uint64_t>(1, limits_.memory_bytes / side_by_side)};
}

void WorkQueue::Done() {
  const std::lock_guard<std::mutex> lock(mutex_);
  --running_;
}

void WorkQueue::Stop() {
  const std::lock_guard<std::mutex> lock(mutex_);
  stopped_ = true;
}

bool WorkQueue::out_of_time() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return out_of_time_;
}

}  // namespace qcow2::cli
