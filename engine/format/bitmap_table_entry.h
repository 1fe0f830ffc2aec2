// One entry of a bitmap table, which names one cluster of a bitmap's bits.
//
// Pure values, no I/O.
#ifndef ENGINE_FORMAT_BITMAP_TABLE_ENTRY_H_
#define ENGINE_FORMAT_BITMAP_TABLE_ENTRY_H_

#include <cstddef>
#include <cstdint>

#include "engine/format/byte_order.h"
#include "engine/format/geometry.h"
#include "engine/format/types.h"

namespace qcow2 {

inline constexpr uint64_t kBitmapTableEntrySize = 8;
inline constexpr uint64_t kBitmapTableOffsetMask = 0x00fffffffffffe00;
inline constexpr uint64_t kBitmapTableReservedMask = 0xff000000000001fe;
inline constexpr uint64_t kBitmapTableAllOnes = 1;

static_assert((kBitmapTableOffsetMask & kBitmapTableReservedMask) == 0);
static_assert((kBitmapTableOffsetMask & kBitmapTableAllOnes) == 0);
static_assert((kBitmapTableReservedMask & kBitmapTableAllOnes) == 0);
static_assert((kBitmapTableOffsetMask | kBitmapTableReservedMask |
               kBitmapTableAllOnes) == ~uint64_t{0});

// A bitmap table entry is one 64-bit word:
//
//   bits   meaning
//   0      without an offset: the bits are all ones (else all zeros); with an
//          offset reserved, zero
//   1-8    reserved, zero
//   9-55   host offset of a cluster of bits, cluster aligned; 0: none
//   56-63  reserved, zero
class BitmapTableEntry {
 public:
  constexpr BitmapTableEntry() = default;
  constexpr explicit BitmapTableEntry(uint64_t raw) : raw_(raw) {}
  // The entry held by the 8 bytes at `bytes`.
  static constexpr BitmapTableEntry Decode(const std::byte* bytes) {
    return BitmapTableEntry(LoadBe64(bytes));
  }
  // Writes the entry's 8 bytes.
  constexpr void Encode(std::byte* bytes) const { StoreBe64(bytes, raw_); }

  constexpr uint64_t raw() const { return raw_; }
  constexpr HostOffset offset() const {
    return HostOffset(raw_ & kBitmapTableOffsetMask);
  }
  constexpr bool has_cluster() const {
    return (raw_ & kBitmapTableOffsetMask) != 0;
  }
  // Meaningful without a cluster only.
  constexpr bool all_ones() const {
    return !has_cluster() && (raw_ & kBitmapTableAllOnes) != 0;
  }
  constexpr uint64_t reserved_bits() const {
    return raw_ & (kBitmapTableReservedMask |
                   (has_cluster() ? kBitmapTableAllOnes : 0));
  }

  friend constexpr bool operator==(BitmapTableEntry,
                                   BitmapTableEntry) = default;

 private:
  uint64_t raw_ = 0;
};

// What can be wrong with a bitmap table entry by itself, as bits of a mask.
enum BitmapTableEntryIssue : uint32_t {
  kBitmapTableReservedBitsSet = 1 << 0,
  kBitmapTableOffsetUnaligned = 1 << 1,
};

// The issues of `entry`, 0 if there are none.
uint32_t BitmapTableEntryIssues(BitmapTableEntry entry,
                                const Geometry& geometry);

}  // namespace qcow2

#endif  // ENGINE_FORMAT_BITMAP_TABLE_ENTRY_H_
