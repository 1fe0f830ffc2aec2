// CRC-32C (Castagnoli), the checksum of everything in a journal. It finds every
// damage within 32 bits in a row and every odd number of flipped bits.
//
// Pure, no I/O. With the processor's own instruction where it has one.
#ifndef REPAIR_JOURNAL_CRC32C_H_
#define REPAIR_JOURNAL_CRC32C_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace qcow2::repair {

// The checksum of some bytes followed by `bytes`, `before` being that of those
// bytes (0 for none). Crc32c of "123456789" is 0xe3069283.
uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t before = 0);

// The same without the processor's instruction, for tests to compare.
uint32_t Crc32cByTable(std::span<const std::byte> bytes, uint32_t before = 0);

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_CRC32C_H_
