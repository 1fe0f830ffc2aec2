// What is left of a range when others are taken out of it.
//
// Pure, no I/O.
#ifndef CLI_FLEET_RANGES_H_
#define CLI_FLEET_RANGES_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace qcow2::cli {

struct CountedRange {
  uint64_t first = 0;
  uint64_t count = 0;

  friend bool operator==(const CountedRange&, const CountedRange&) = default;
};

// Past the last one; the largest number where that does not fit.
constexpr uint64_t EndOf(const CountedRange& range) {
  const uint64_t room = std::numeric_limits<uint64_t>::max() - range.first;
  return range.first + std::min(room, range.count);
}

// The parts of `whole` that none of `others` covers, in order.
inline std::vector<CountedRange> Without(const CountedRange& whole,
                                         std::vector<CountedRange> others) {
  std::ranges::sort(others, {}, &CountedRange::first);
  std::vector<CountedRange> left;
  uint64_t next = whole.first;
  const uint64_t end = EndOf(whole);
  for (const CountedRange& other : others) {
    const uint64_t begin = std::min(other.first, end);
    if (begin > next) left.push_back({next, begin - next});
    next = std::max(next, std::min(EndOf(other), end));
  }
  if (end > next) left.push_back({next, end - next});
  return left;
}

}  // namespace qcow2::cli

#endif  // CLI_FLEET_RANGES_H_
