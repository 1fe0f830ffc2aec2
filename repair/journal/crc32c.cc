#include "repair/journal/crc32c.h"

#include <array>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#include "engine/little_endian.h"

namespace qcow2::repair {
namespace {

// The polynomial 0x1edc6f41 with its bits reversed.
constexpr uint32_t kPolynomial = 0x82f63b78;

using Table = std::array<uint32_t, 256>;

// Table k tells what a byte does to the checksum k bytes further on, so that
// eight bytes are looked up at once and not one after the other.
constexpr std::array<Table, 8> MakeTables() {
  std::array<Table, 8> tables = {};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) {
      value = value >> 1 ^ ((value & 1) != 0 ? kPolynomial : 0);
    }
    tables[0][byte] = value;
  }
  for (size_t k = 1; k < tables.size(); ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t value = tables[k - 1][byte];
      tables[k][byte] = value >> 8 ^ tables[0][value & 0xff];
    }
  }
  return tables;
}

constexpr std::array<Table, 8> kTables = MakeTables();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t Crc32cByInstruction(
    std::span<const std::byte> bytes, uint32_t before) {
  uint64_t value = ~before;
  while (bytes.size() >= 8) {
    value = _mm_crc32_u64(value, LoadLe64(bytes.data()));
    bytes = bytes.subspan(8);
  }
  auto rest = static_cast<uint32_t>(value);
  for (const std::byte byte : bytes) {
    rest = _mm_crc32_u8(rest, std::to_integer<uint8_t>(byte));
  }
  return ~rest;
}
#endif

}  // namespace

uint32_t Crc32cByTable(std::span<const std::byte> bytes, uint32_t before) {
  uint32_t value = ~before;
  while (bytes.size() >= 8) {
    const uint64_t mixed = LoadLe64(bytes.data()) ^ value;
    value = kTables[7][mixed & 0xff] ^ kTables[6][mixed >> 8 & 0xff] ^
            kTables[5][mixed >> 16 & 0xff] ^ kTables[4][mixed >> 24 & 0xff] ^
            kTables[3][mixed >> 32 & 0xff] ^ kTables[2][mixed >> 40 & 0xff] ^
            kTables[1][mixed >> 48 & 0xff] ^ kTables[0][mixed >> 56];
    bytes = bytes.subspan(8);
  }
  for (const std::byte byte : bytes) {
    value = value >> 8 ^
            kTables[0][(value ^ std::to_integer<uint32_t>(byte)) & 0xff];
  }
  return ~value;
}

uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t before) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2") != 0) {
    return Crc32cByInstruction(bytes, before);
  }
#endif
  return Crc32cByTable(bytes, before);
}

}  // namespace qcow2::repair
