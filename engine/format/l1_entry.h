// One entry of an L1 table, which names one L2 table.
//
// Pure values, no I/O.
#ifndef ENGINE_FORMAT_L1_ENTRY_H_
#define ENGINE_FORMAT_L1_ENTRY_H_

#include <cstddef>
#include <cstdint>

#include "engine/format/byte_order.h"
#include "engine/format/entry_flags.h"
#include "engine/format/geometry.h"
#include "engine/format/types.h"

namespace qcow2 {

inline constexpr uint64_t kL1EntrySize = 8;
inline constexpr uint64_t kL1OffsetMask = 0x00fffffffffffe00;
inline constexpr uint64_t kL1ReservedMask = 0x7f000000000001ff;

static_assert((kL1OffsetMask & kL1ReservedMask) == 0);
static_assert((kL1OffsetMask & kCopiedFlag) == 0);
static_assert((kL1ReservedMask & kCopiedFlag) == 0);
static_assert((kL1OffsetMask | kL1ReservedMask | kCopiedFlag) == ~uint64_t{0});

// An L1 entry is one 64-bit word:
//
//   bits   meaning
//   0-8    reserved, zero
//   9-55   host offset of the L2 table, cluster aligned; 0: no L2 table, the
//          whole window is unallocated
//   56-62  reserved, zero
//   63     COPIED: the refcount of the L2 table is exactly one (active L1 only)
class L1Entry {
 public:
  constexpr L1Entry() = default;
  constexpr explicit L1Entry(uint64_t raw) : raw_(raw) {}
  // The entry held by the 8 bytes at `bytes`.
  static constexpr L1Entry Decode(const std::byte* bytes) {
    return L1Entry(LoadBe64(bytes));
  }
  // Writes the entry's 8 bytes.
  constexpr void Encode(std::byte* bytes) const { StoreBe64(bytes, raw_); }

  constexpr uint64_t raw() const { return raw_; }
  constexpr HostOffset l2_offset() const {
    return HostOffset(raw_ & kL1OffsetMask);
  }
  constexpr bool copied() const { return (raw_ & kCopiedFlag) != 0; }
  constexpr uint64_t reserved_bits() const { return raw_ & kL1ReservedMask; }
  // Every bit is zero. An entry without an L2 table may still have stray bits.
  constexpr bool is_zero() const { return raw_ == 0; }
  constexpr bool has_l2_table() const { return (raw_ & kL1OffsetMask) != 0; }

  friend constexpr bool operator==(L1Entry, L1Entry) = default;

 private:
  uint64_t raw_ = 0;
};

// What can be wrong with an L1 entry by itself, as bits of a mask.
enum L1EntryIssue : uint32_t {
  kL1ReservedBitsSet = 1 << 0,
  kL1OffsetUnaligned = 1 << 1,
  // COPIED without an L2 table has no meaning; harmless.
  kL1CopiedWithoutTable = 1 << 2,
};

// The issues of `entry`, 0 if there are none.
uint32_t L1EntryIssues(L1Entry entry, const Geometry& geometry);

}  // namespace qcow2

#endif  // ENGINE_FORMAT_L1_ENTRY_H_
