// Distinct types for the numbers of the format, so that a guest offset cannot
// be passed where a host offset is due and a count is not an index.
//
// Pure values, no I/O. Each wraps one uint64_t; arithmetic that keeps its
// meaning is offered by name, everything else goes through value().
#ifndef ENGINE_FORMAT_TYPES_H_
#define ENGINE_FORMAT_TYPES_H_

#include <compare>
#include <cstdint>

namespace qcow2 {

// A number of one kind. `Tag` makes the kinds distinct types. Adding or
// subtracting a plain integer moves by that many units of the kind; the
// difference of two is a plain integer. Overflow is the caller's to exclude.
template <typename Tag>
class Strong {
 public:
  constexpr Strong() = default;
  constexpr explicit Strong(uint64_t value) : value_(value) {}

  constexpr uint64_t value() const { return value_; }

  friend constexpr auto operator<=>(Strong, Strong) = default;
  friend constexpr Strong operator+(Strong a, uint64_t units) {
    return Strong(a.value_ + units);
  }
  friend constexpr Strong operator-(Strong a, uint64_t units) {
    return Strong(a.value_ - units);
  }
  friend constexpr uint64_t operator-(Strong a, Strong b) {
    return a.value_ - b.value_;
  }
  constexpr Strong& operator+=(uint64_t units) {
    value_ += units;
    return *this;
  }

 private:
  uint64_t value_ = 0;
};

// A byte position in the image file.
using HostOffset = Strong<struct HostOffsetTag>;
// A byte position in the virtual disk.
using GuestOffset = Strong<struct GuestOffsetTag>;
// The index of a cluster of the image file (host offset / cluster size).
using HostCluster = Strong<struct HostClusterTag>;
// The index of a cluster of the virtual disk (guest offset / cluster size).
using GuestCluster = Strong<struct GuestClusterTag>;

}  // namespace qcow2

#endif  // ENGINE_FORMAT_TYPES_H_
