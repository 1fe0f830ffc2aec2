// A file descriptor that is closed with the object that has it.
#ifndef ENGINE_DESCRIPTOR_H_
#define ENGINE_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace qcow2 {

class Descriptor {
 public:
  // `number` may be -1, as open() returns it: none.
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept
      : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() {
    if (number_ != -1) close(number_);
  }

  int get() const { return number_; }
  // Leaves it to the caller.
  int Release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

}  // namespace qcow2

#endif  // ENGINE_DESCRIPTOR_H_
