// The moment of a Ctrl-C: the n-th time that a run does something with a file
// or a disk.
//
// For tests only. Safe for concurrent use.
#ifndef TESTS_CANCELLATION_CANCEL_POINT_H_
#define TESTS_CANCELLATION_CANCEL_POINT_H_

#include <atomic>
#include <cstdint>

namespace qcow2 {

class CancelPoint {
 public:
  // The first time is 1; 0: it never comes.
  explicit CancelPoint(uint64_t at) : at_(at) {}

  // To be called each time.
  void Pass() {
    if (passed_.fetch_add(1) + 1 == at_) flag_ = true;
  }

  const std::atomic<bool>* flag() const { return &flag_; }
  // How often Pass() was called.
  uint64_t passed() const { return passed_; }

 private:
  const uint64_t at_;
  std::atomic<uint64_t> passed_{0};
  std::atomic<bool> flag_{false};
};

}  // namespace qcow2

#endif  // TESTS_CANCELLATION_CANCEL_POINT_H_
