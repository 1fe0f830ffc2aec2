// Whether bytes are all zeros, as fast as they can be read.
#ifndef ENGINE_OPERATIONS_ZERO_BYTES_H_
#define ENGINE_OPERATIONS_ZERO_BYTES_H_

#include <cstddef>
#include <cstring>
#include <span>

namespace qcow2 {

inline bool AllZeros(std::span<const std::byte> bytes) {
  // Each byte is like the one before it, and the first is zero.
  return bytes.empty() ||
         (bytes[0] == std::byte{0} &&
          std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace qcow2

#endif  // ENGINE_OPERATIONS_ZERO_BYTES_H_
