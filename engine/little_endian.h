// Reading and writing little-endian integers, which the image format itself
// does not have: those of partition tables and ciphers, and bytes taken a word
// at a time with the first as the lowest.
//
// Pure, no I/O. As in engine/format/byte_order.h each is one expression, which
// compilers turn into a single load or store.
#ifndef ENGINE_LITTLE_ENDIAN_H_
#define ENGINE_LITTLE_ENDIAN_H_

#include <cstddef>
#include <cstdint>

namespace qcow2 {

// The integer held by the 2, 4 or 8 bytes at `bytes`, which must be readable.
constexpr uint16_t LoadLe16(const std::byte* bytes) {
  return static_cast<uint16_t>(std::to_integer<uint32_t>(bytes[0]) |
                               std::to_integer<uint32_t>(bytes[1]) << 8);
}

constexpr uint32_t LoadLe32(const std::byte* bytes) {
  return std::to_integer<uint32_t>(bytes[0]) |
         std::to_integer<uint32_t>(bytes[1]) << 8 |
         std::to_integer<uint32_t>(bytes[2]) << 16 |
         std::to_integer<uint32_t>(bytes[3]) << 24;
}

constexpr uint64_t LoadLe64(const std::byte* bytes) {
  return std::to_integer<uint64_t>(bytes[0]) |
         std::to_integer<uint64_t>(bytes[1]) << 8 |
         std::to_integer<uint64_t>(bytes[2]) << 16 |
         std::to_integer<uint64_t>(bytes[3]) << 24 |
         std::to_integer<uint64_t>(bytes[4]) << 32 |
         std::to_integer<uint64_t>(bytes[5]) << 40 |
         std::to_integer<uint64_t>(bytes[6]) << 48 |
         std::to_integer<uint64_t>(bytes[7]) << 56;
}

// Writes `value` to the 2, 4 or 8 bytes at `bytes`, which must be writable.
constexpr void StoreLe16(std::byte* bytes, uint16_t value) {
  bytes[0] = static_cast<std::byte>(value);
  bytes[1] = static_cast<std::byte>(value >> 8);
}

constexpr void StoreLe32(std::byte* bytes, uint32_t value) {
  StoreLe16(bytes, static_cast<uint16_t>(value));
  StoreLe16(bytes + 2, static_cast<uint16_t>(value >> 16));
}

constexpr void StoreLe64(std::byte* bytes, uint64_t value) {
  StoreLe32(bytes, static_cast<uint32_t>(value));
  StoreLe32(bytes + 4, static_cast<uint32_t>(value >> 32));
}

}  // namespace qcow2

#endif  // ENGINE_LITTLE_ENDIAN_H_
