// One entry of an L2 table, which says where one guest cluster is.
//
// Pure values, no I/O.
#ifndef ENGINE_FORMAT_L2_ENTRY_H_
#define ENGINE_FORMAT_L2_ENTRY_H_

#include <cstddef>
#include <cstdint>

#include "engine/format/byte_order.h"
#include "engine/format/entry_flags.h"
#include "engine/format/geometry.h"
#include "engine/format/types.h"

namespace qcow2 {

inline constexpr uint64_t kL2OffsetMask = 0x00fffffffffffe00;
inline constexpr uint64_t kL2StandardReservedMask = 0x3f000000000001fe;
inline constexpr uint64_t kZeroFlag = uint64_t{1} << 0;
inline constexpr uint64_t kCompressedFlag = uint64_t{1} << 62;
// Host offsets end below this bit, in every kind of entry.
inline constexpr uint32_t kHostOffsetBits = 56;

static_assert((kL2OffsetMask & kL2StandardReservedMask) == 0);
static_assert((kL2OffsetMask & (kZeroFlag | kCompressedFlag | kCopiedFlag)) ==
              0);
static_assert((kL2StandardReservedMask &
               (kZeroFlag | kCompressedFlag | kCopiedFlag)) == 0);
static_assert((kL2OffsetMask | kL2StandardReservedMask | kZeroFlag |
               kCompressedFlag | kCopiedFlag) == ~uint64_t{0});

// Where a compressed cluster's data lies.
struct CompressedDescriptor {
  // The first byte; any alignment.
  HostOffset offset;
  // Bytes that may be read from there: up to the end of the last sector.
  uint64_t length = 0;
  // 512-byte sectors touched, the one with the first byte included.
  uint64_t sectors = 0;

  friend constexpr bool operator==(const CompressedDescriptor&,
                                   const CompressedDescriptor&) = default;
};

// An L2 entry is one 64-bit word, with extended L2 entries two.
//
//   standard cluster (bit 62 clear)
//   bit 0   reads as zeros (version 3; reserved with extended L2)
//   1-8     reserved, zero
//   9-55    host offset of the cluster, cluster aligned; 0: no cluster, except
//           that with an external data file and COPIED it is a place like any
//   56-61   reserved, zero
//   62      0
//   63      COPIED: the cluster's refcount is exactly one (active tables only)
//
//   compressed cluster (bit 62 set), x = 62 - (cluster_bits - 8)
//   0-(x-1) host offset of the first byte, any alignment; below 2^56
//   x-61    number of 512-byte sectors after the one with the first byte
//   62      1
//   63      0
//
//   second word, extended L2 only, zero for a compressed cluster
//   0-31    bit i: subcluster i is allocated in the host cluster
//   32-63   bit 32 + i: subcluster i reads as zeros (never both)
class L2Entry {
 public:
  constexpr L2Entry() = default;
  constexpr explicit L2Entry(uint64_t raw, uint64_t bitmap = 0)
      : raw_(raw), bitmap_(bitmap) {}
  // The entry held by the geometry.l2_entry_size() bytes at `bytes`.
  static L2Entry Decode(const std::byte* bytes, const Geometry& geometry) {
    return L2Entry(LoadBe64(bytes),
                   geometry.extended_l2() ? LoadBe64(bytes + 8) : 0);
  }
  // Writes the entry's geometry.l2_entry_size() bytes.
  void Encode(std::byte* bytes, const Geometry& geometry) const {
    StoreBe64(bytes, raw_);
    if (geometry.extended_l2()) StoreBe64(bytes + 8, bitmap_);
  }

  constexpr uint64_t raw() const { return raw_; }
  // The second word; 0 when entries are not extended.
  constexpr uint64_t bitmap() const { return bitmap_; }
  constexpr uint32_t allocated_subclusters() const {
    return static_cast<uint32_t>(bitmap_);
  }
  constexpr uint32_t zero_subclusters() const {
    return static_cast<uint32_t>(bitmap_ >> 32);
  }

  constexpr bool is_compressed() const { return (raw_ & kCompressedFlag) != 0; }
  constexpr bool copied() const { return (raw_ & kCopiedFlag) != 0; }
  // Of a standard cluster.
  constexpr HostOffset host_offset() const {
    return HostOffset(raw_ & kL2OffsetMask);
  }
  constexpr bool zero_flag() const { return (raw_ & kZeroFlag) != 0; }
  // The bits set that a standard cluster's entry must have clear; 0 for a
  // compressed cluster, whose word has no reserved bits.
  constexpr uint64_t reserved_bits(bool extended) const {
    if (is_compressed()) return 0;
    return raw_ & (kL2StandardReservedMask | (extended ? kZeroFlag : 0));
  }

  // Of a compressed cluster.
  CompressedDescriptor compressed(const Geometry& geometry) const;
  // The entry whose compressed(geometry) is `descriptor`. The offset must be
  // below 2^56 and the sector count must fit the geometry (1 to
  // 2^(cluster_bits - 8)); length follows from the two and is not looked at.
  static L2Entry FromCompressed(const CompressedDescriptor& descriptor,
                                const Geometry& geometry);

  friend constexpr bool operator==(L2Entry, L2Entry) = default;

 private:
  uint64_t raw_ = 0;
  uint64_t bitmap_ = 0;
};

enum class L2EntryType {
  // Reads from the backing file, or zeros.
  kUnallocated,
  // Reads as zeros, no host cluster.
  kZeroPlain,
  // Reads as zeros, and keeps a host cluster that is counted.
  kZeroAllocated,
  // Data in a host cluster; with extended L2 the bitmap has the last word.
  kNormal,
  kCompressed,
};

// What `entry` means. Total: contradictory bits get the type that readers of
// the format give them, and an issue below.
L2EntryType TypeOf(L2Entry entry, const Geometry& geometry,
                   bool external_data_file);

// What can be wrong with an L2 entry by itself, as bits of a mask.
enum L2EntryIssue : uint32_t {
  // Bits 1-8 or 56-61 of a standard cluster.
  kL2ReservedBitsSet = 1 << 0,
  kL2OffsetUnaligned = 1 << 1,
  kL2CompressedWithCopied = 1 << 2,
  kL2CompressedWithBitmap = 1 << 3,
  kL2CompressedWithDataFile = 1 << 4,
  // Small clusters leave the offset field more bits than an offset may use.
  kL2CompressedOffsetTooLarge = 1 << 5,
  kL2SubclusterAllocatedAndZero = 1 << 6,
  kL2SubclusterAllocatedWithoutOffset = 1 << 7,
  kL2ZeroFlagInVersion2 = 1 << 8,
  kL2ZeroFlagWithExtendedL2 = 1 << 9,
};

// The issues of `entry` in an image of that version, 0 if there are none.
uint32_t L2EntryIssues(L2Entry entry, const Geometry& geometry,
                       uint32_t version, bool external_data_file);

}  // namespace qcow2

#endif  // ENGINE_FORMAT_L2_ENTRY_H_
