// Reading and writing the little-endian integers of partition tables.
//
// Pure, no I/O.
#ifndef ENGINE_PARTITION_LITTLE_ENDIAN_H_
#define ENGINE_PARTITION_LITTLE_ENDIAN_H_

#include <cstddef>
#include <cstdint>

namespace qcow2 {

// The integer held by the 2, 4 or 8 bytes at `bytes`, which must be readable.
constexpr uint16_t LoadLe16(const std::byte* bytes) {
  return static_cast<uint16_t>(std::to_integer<uint32_t>(bytes[0]) |
                               std::to_integer<uint32_t>(bytes[1]) << 8);
}

constexpr uint32_t LoadLe32(const std::byte* bytes) {
  return LoadLe16(bytes) | uint32_t{LoadLe16(bytes + 2)} << 16;
}

constexpr uint64_t LoadLe64(const std::byte* bytes) {
  return LoadLe32(bytes) | uint64_t{LoadLe32(bytes + 4)} << 32;
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

#endif  // ENGINE_PARTITION_LITTLE_ENDIAN_H_
