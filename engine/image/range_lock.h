// RangeLock: keeps requests on the same stretch of a disk apart. Readers share,
// writers do not.
//
// No I/O. A request takes one range, once, and so cannot wait in a circle.
#ifndef ENGINE_IMAGE_RANGE_LOCK_H_
#define ENGINE_IMAGE_RANGE_LOCK_H_

#include <cstdint>
#include <list>

#include "absl/base/thread_annotations.h"
#include "engine/mutex.h"

namespace qcow2 {

class RangeLock {
 public:
  enum class Mode { kShared, kExclusive };

 private:
  struct Range {
    uint64_t begin;
    uint64_t end;
    Mode mode;
  };

 public:
  // Holds [begin, end) from construction, which waits for it, to destruction.
  class Holder {
   public:
    Holder(RangeLock& lock, uint64_t begin, uint64_t end, Mode mode);
    ~Holder();
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;

   private:
    RangeLock& lock_;
    std::list<Range>::iterator range_;
  };

 private:
  Mutex mutex_;
  CondVar released_;
  // In the order of arrival: whoever came first goes first, so that a stream
  // of readers cannot keep a writer waiting for good.
  std::list<Range> ranges_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_RANGE_LOCK_H_
