// Lets one of several threads take in what all of them collect.
//
// What it is taken into then stays in the cache of one processor, and the
// others go on collecting meanwhile. Whoever is first with a full batch becomes
// the taker; when the others have filled the queue and it does not come to it
// (it may be waiting for a disk), the next one that is full takes its place.
//
// In memory only. Thread-safe.
#ifndef CHECKER_HAND_OVER_QUEUE_H_
#define CHECKER_HAND_OVER_QUEUE_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace qcow2::checker {

// `Batch` can be moved and made without arguments. Members are told apart by
// their addresses.
template <typename Batch>
class HandOverQueue {
 public:
  // Nobody waits as long as there are less than `capacity` batches, at least 1.
  explicit HandOverQueue(size_t capacity) : capacity_(capacity) {}

  // Whether `member` takes in batches, or would if it had one.
  bool IsTaker(const void* member) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return taker_ == nullptr || taker_ == member;
  }

  // True: `member` is to take in what it has itself, and then what Next has
  // until there is none. False: another one is the taker.
  bool BecomesTaker(const void* member) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return MakeTaker(member);
  }

  // True: `member` is to take in `batch` itself, and then what Next has until
  // there is none. False: `batch` was put into the queue, and is one to be used
  // again, or a new one. Waits for room in the queue while another member is
  // taking in.
  bool TakesIn(const void* member, Batch& batch) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (taker_ != nullptr && taker_ != member &&
           batches_.size() >= capacity_) {
      if (taking_in_) {
        room_.wait(lock);
      } else {
        taker_ = nullptr;
      }
    }
    if (MakeTaker(member)) return true;
    batches_.push_back(std::move(batch));
    batch = TakeSpare();
    return false;
  }

  // The next batch for the taker, who gives back the one it had from here
  // before. None: it is no longer taking in.
  std::optional<Batch> Next(std::optional<Batch> done) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (done.has_value()) spares_.push_back(*std::move(done));
    if (batches_.empty()) {
      taking_in_ = false;
      return std::nullopt;
    }
    std::optional<Batch> next = std::move(batches_.front());
    batches_.pop_front();
    // Those that wait are not woken for one place each.
    if (batches_.size() == capacity_ / 2) room_.notify_all();
    return next;
  }

  // `member` has nothing more. False: it is the taker, and is first to take in
  // what Next has.
  bool Leave(const void* member) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (taker_ != member) return true;
    taking_in_ = !batches_.empty();
    if (!taking_in_) taker_ = nullptr;
    return !taking_in_;
  }

 private:
  // The caller holds the lock. False: another member is the taker.
  bool MakeTaker(const void* member) {
    if (taker_ != nullptr && taker_ != member) return false;
    taker_ = member;
    taking_in_ = true;
    return true;
  }

  Batch TakeSpare() {
    if (spares_.empty()) return Batch();
    Batch spare = std::move(spares_.back());
    spares_.pop_back();
    return spare;
  }

  const size_t capacity_;
  mutable std::mutex mutex_;  // guards all that follows
  std::condition_variable room_;
  std::deque<Batch> batches_;
  std::vector<Batch> spares_;
  const void* taker_ = nullptr;
  bool taking_in_ = false;
};

}  // namespace qcow2::checker

#endif  // CHECKER_HAND_OVER_QUEUE_H_
