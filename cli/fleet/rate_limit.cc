#include "cli/fleet/rate_limit.h"

#include <algorithm>
#include <thread>

namespace qcow2::cli {

RateLimit::Clock::time_point RateLimit::Account(uint64_t bytes,
                                                Clock::time_point now) {
  const std::chrono::duration<double> time(static_cast<double>(bytes) /
                                           static_cast<double>(rate_));
  const std::lock_guard<std::mutex> lock(mutex_);
  free_from_ = std::max(free_from_, now) +
               std::chrono::duration_cast<Clock::duration>(time);
  return free_from_;
}

absl::StatusOr<size_t> RateLimitedFile::Pread(
    uint64_t offset, std::span<std::byte> buffer) const {
  constexpr std::chrono::milliseconds kSlice{100};
  absl::StatusOr<size_t> count = target().Pread(offset, buffer);
  if (!count.ok()) return count;
  const auto until = limit_.Account(*count, RateLimit::Clock::now());
  while (cancel_ == nullptr || !*cancel_) {
    const auto now = RateLimit::Clock::now();
    if (now >= until) break;
    std::this_thread::sleep_for(
        std::min<RateLimit::Clock::duration>(until - now, kSlice));
  }
  return count;
}

void RateLimitedFile::Advise(Access access, ByteRange range) const {
  switch (access) {
    case Access::kWillNeed:
    case Access::kWillFollow:
    case Access::kRowWillNeed:
      return;
    case Access::kNormal:
    case Access::kRandom:
    case Access::kSequential:
    case Access::kDontNeed:
      target().Advise(access, range);
  }
}

}  // namespace qcow2::cli
