// Keeps the reading of all images together below a rate.
#ifndef CLI_FLEET_RATE_LIMIT_H_
#define CLI_FLEET_RATE_LIMIT_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>

#include "engine/storage/forwarding_file.h"

namespace qcow2::cli {

// Says when the bytes that are read next may have been read, for any number of
// threads. Time not used is not saved up.
class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;

  // `bytes_per_second` is not 0.
  explicit RateLimit(uint64_t bytes_per_second) : rate_(bytes_per_second) {}

  // Accounts for `bytes` read at `now`; returns the time before which nothing
  // more may be read by who read them.
  Clock::time_point Account(uint64_t bytes, Clock::time_point now);

 private:
  const uint64_t rate_;
  std::mutex mutex_;
  Clock::time_point free_from_;  // guarded by mutex_
};

// A file whose reads wait so that they keep to the limit. A wait ends early
// when `cancel` is set.
class RateLimitedFile : public ForwardingFile {
 public:
  RateLimitedFile(File& target, RateLimit& limit,
                  const std::atomic<bool>* cancel)
      : ForwardingFile(target), limit_(limit), cancel_(cancel) {}

  absl::StatusOr<size_t> Pread(uint64_t offset,
                               std::span<std::byte> buffer) const override;
  // Reading ahead would be reading beside the limit.
  void Advise(Access access, ByteRange range) const override;

 private:
  RateLimit& limit_;
  const std::atomic<bool>* const cancel_;
};

}  // namespace qcow2::cli

#endif  // CLI_FLEET_RATE_LIMIT_H_
