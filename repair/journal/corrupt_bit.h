// The one thing that the journal knows of qcow2: where the corrupt bit is. With
// it set nobody else writes to an image that is half old and half new.
//
// Pure, no I/O. docs/format.md, "Feature bits".
#ifndef REPAIR_JOURNAL_CORRUPT_BIT_H_
#define REPAIR_JOURNAL_CORRUPT_BIT_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/format/byte_order.h"

namespace qcow2::repair {

// The last byte of incompatible_features, and bit 1 in it.
inline constexpr uint64_t kCorruptBitOffset = 79;
inline constexpr std::byte kCorruptBit{2};

// Whether `header`, the first bytes of an image, has the bit: version 2 does
// not, and what is not a header has to be left alone.
inline bool HasPlaceForCorruptBit(std::span<const std::byte> header) {
  constexpr uint32_t kMagic = 0x5146'49fb;  // "QFI\xfb"
  constexpr uint32_t kVersion3 = 3;
  return header.size() > kCorruptBitOffset && LoadBe32(&header[0]) == kMagic &&
         LoadBe32(&header[4]) == kVersion3;
}

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_CORRUPT_BIT_H_
