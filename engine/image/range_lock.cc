#include "engine/image/range_lock.h"

#include <algorithm>

namespace qcow2 {

RangeLock::Holder::Holder(RangeLock& lock, uint64_t begin, uint64_t end,
                          Mode mode)
    : lock_(lock) {
  MutexLock held(&lock_.mutex_);
  range_ = lock_.ranges_.insert(lock_.ranges_.end(), {begin, end, mode});
  const auto conflicts = [&](const Range& other) {
    return other.begin < end && begin < other.end &&
           (mode == Mode::kExclusive || other.mode == Mode::kExclusive);
  };
  while (std::any_of(lock_.ranges_.begin(), range_, conflicts)) {
    lock_.released_.Wait(&lock_.mutex_);
  }
}

RangeLock::Holder::~Holder() {
  MutexLock held(&lock_.mutex_);
  // Nobody can wait for the only range.
  const bool alone = lock_.ranges_.size() == 1;
  lock_.ranges_.erase(range_);
  if (!alone) lock_.released_.SignalAll();
}

}  // namespace qcow2
