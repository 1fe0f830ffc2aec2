// Reading and writing the big-endian integers of the format.
//
// Pure, no I/O. Each load and store is one expression of shifts, which GCC 12
// and Clang 14 turn into a single load or store and a byte swap; a loop would
// not be recognised.
#ifndef ENGINE_FORMAT_BYTE_ORDER_H_
#define ENGINE_FORMAT_BYTE_ORDER_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace qcow2 {

// The integer held by the 2, 4 or 8 bytes at `bytes`, which must be readable.
constexpr uint16_t LoadBe16(const std::byte* bytes) {
  return static_cast<uint16_t>(std::to_integer<uint32_t>(bytes[0]) << 8 |
                               std::to_integer<uint32_t>(bytes[1]));
}

constexpr uint32_t LoadBe32(const std::byte* bytes) {
  return std::to_integer<uint32_t>(bytes[0]) << 24 |
         std::to_integer<uint32_t>(bytes[1]) << 16 |
         std::to_integer<uint32_t>(bytes[2]) << 8 |
         std::to_integer<uint32_t>(bytes[3]);
}

constexpr uint64_t LoadBe64(const std::byte* bytes) {
  return std::to_integer<uint64_t>(bytes[0]) << 56 |
         std::to_integer<uint64_t>(bytes[1]) << 48 |
         std::to_integer<uint64_t>(bytes[2]) << 40 |
         std::to_integer<uint64_t>(bytes[3]) << 32 |
         std::to_integer<uint64_t>(bytes[4]) << 24 |
         std::to_integer<uint64_t>(bytes[5]) << 16 |
         std::to_integer<uint64_t>(bytes[6]) << 8 |
         std::to_integer<uint64_t>(bytes[7]);
}

// Writes `value` to the 2, 4 or 8 bytes at `bytes`, which must be writable.
constexpr void StoreBe16(std::byte* bytes, uint16_t value) {
  bytes[0] = static_cast<std::byte>(value >> 8);
  bytes[1] = static_cast<std::byte>(value);
}

constexpr void StoreBe32(std::byte* bytes, uint32_t value) {
  bytes[0] = static_cast<std::byte>(value >> 24);
  bytes[1] = static_cast<std::byte>(value >> 16);
  bytes[2] = static_cast<std::byte>(value >> 8);
  bytes[3] = static_cast<std::byte>(value);
}

constexpr void StoreBe64(std::byte* bytes, uint64_t value) {
  bytes[0] = static_cast<std::byte>(value >> 56);
  bytes[1] = static_cast<std::byte>(value >> 48);
  bytes[2] = static_cast<std::byte>(value >> 40);
  bytes[3] = static_cast<std::byte>(value >> 32);
  bytes[4] = static_cast<std::byte>(value >> 24);
  bytes[5] = static_cast<std::byte>(value >> 16);
  bytes[6] = static_cast<std::byte>(value >> 8);
  bytes[7] = static_cast<std::byte>(value);
}

// The `width` bytes (1 to 8) at `offset` of `bytes` as a big-endian integer;
// bytes past the end of `bytes` count as zero. For structures that may be cut
// short: their decoders are total and must not depend on what was not read.
constexpr uint64_t LoadBePadded(std::span<const std::byte> bytes,
                                uint64_t offset, uint32_t width) {
  uint64_t value = 0;
  for (uint32_t i = 0; i < width; ++i) {
    const bool present = offset < bytes.size() && i < bytes.size() - offset;
    value = value << 8 |
            (present ? std::to_integer<uint64_t>(bytes[offset + i]) : 0);
  }
  return value;
}

constexpr uint16_t LoadBe16Padded(std::span<const std::byte> bytes,
                                  uint64_t offset) {
  return static_cast<uint16_t>(LoadBePadded(bytes, offset, 2));
}

constexpr uint32_t LoadBe32Padded(std::span<const std::byte> bytes,
                                  uint64_t offset) {
  return static_cast<uint32_t>(LoadBePadded(bytes, offset, 4));
}

constexpr uint64_t LoadBe64Padded(std::span<const std::byte> bytes,
                                  uint64_t offset) {
  return LoadBePadded(bytes, offset, 8);
}

}  // namespace qcow2

#endif  // ENGINE_FORMAT_BYTE_ORDER_H_
