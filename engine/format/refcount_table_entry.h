// One entry of the refcount table, which names one refcount block.
//
// Pure values, no I/O.
#ifndef ENGINE_FORMAT_REFCOUNT_TABLE_ENTRY_H_
#define ENGINE_FORMAT_REFCOUNT_TABLE_ENTRY_H_

#include <cstddef>
#include <cstdint>

#include "engine/format/byte_order.h"
#include "engine/format/geometry.h"
#include "engine/format/types.h"

namespace qcow2 {

inline constexpr uint64_t kRefcountTableEntrySize = 8;
inline constexpr uint64_t kRefcountTableReservedMask = 0x1ff;
inline constexpr uint64_t kRefcountTableOffsetMask = 0xfffffffffffffe00;

static_assert((kRefcountTableOffsetMask & kRefcountTableReservedMask) == 0);
static_assert((kRefcountTableOffsetMask | kRefcountTableReservedMask) ==
              ~uint64_t{0});

// A refcount table entry is one 64-bit word:
//
//   bits  meaning
//   0-8   reserved, zero
//   9-63  host offset of the refcount block, cluster aligned; 0: no block, all
//         the counts it would hold are zero
class RefcountTableEntry {
 public:
  constexpr RefcountTableEntry() = default;
  constexpr explicit RefcountTableEntry(uint64_t raw) : raw_(raw) {}
  // The entry held by the 8 bytes at `bytes`.
  static constexpr RefcountTableEntry Decode(const std::byte* bytes) {
    return RefcountTableEntry(LoadBe64(bytes));
  }
  // Writes the entry's 8 bytes.
  constexpr void Encode(std::byte* bytes) const { StoreBe64(bytes, raw_); }

  constexpr uint64_t raw() const { return raw_; }
  constexpr HostOffset block_offset() const {
    return HostOffset(raw_ & kRefcountTableOffsetMask);
  }
  constexpr uint64_t reserved_bits() const {
    return raw_ & kRefcountTableReservedMask;
  }
  constexpr bool has_block() const {
    return (raw_ & kRefcountTableOffsetMask) != 0;
  }

  friend constexpr bool operator==(RefcountTableEntry,
                                   RefcountTableEntry) = default;

 private:
  uint64_t raw_ = 0;
};

// What can be wrong with a refcount table entry by itself, as bits of a mask.
enum RefcountTableEntryIssue : uint32_t {
  kRefcountTableReservedBitsSet = 1 << 0,
  kRefcountTableOffsetUnaligned = 1 << 1,
};

// The issues of `entry`, 0 if there are none.
uint32_t RefcountTableEntryIssues(RefcountTableEntry entry,
                                  const Geometry& geometry);

}  // namespace qcow2

#endif  // ENGINE_FORMAT_REFCOUNT_TABLE_ENTRY_H_
