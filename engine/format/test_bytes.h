// Bytes for tests: from hexadecimal text and at random.
#ifndef ENGINE_FORMAT_TEST_BYTES_H_
#define ENGINE_FORMAT_TEST_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

namespace qcow2 {

// The bytes that pairs of lower-case hexadecimal digits stand for.
inline std::vector<std::byte> FromHex(std::string_view digits) {
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::vector<std::byte> bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(
        static_cast<std::byte>(value(digits[i]) << 4 | value(digits[i + 1])));
  }
  return bytes;
}

inline std::vector<std::byte> RandomBytes(std::mt19937& random, size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

}  // namespace qcow2

#endif  // ENGINE_FORMAT_TEST_BYTES_H_
