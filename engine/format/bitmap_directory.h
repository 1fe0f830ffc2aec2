// The bitmap directory: one entry of varying size for each persistent bitmap.
//
// Pure, no I/O.
#ifndef ENGINE_FORMAT_BITMAP_DIRECTORY_H_
#define ENGINE_FORMAT_BITMAP_DIRECTORY_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/format/geometry.h"
#include "engine/format/types.h"

namespace qcow2 {

inline constexpr uint64_t kBitmapFixedSize = 24;
inline constexpr uint64_t kBitmapAlignment = 8;
inline constexpr uint8_t kBitmapTypeDirtyTracking = 1;
// The granularities implementations accept: 512 bytes to 2 GiB a bit.
inline constexpr uint32_t kMinBitmapGranularityBits = 9;
inline constexpr uint32_t kMaxBitmapGranularityBits = 31;
inline constexpr uint32_t kMaxBitmapNameBytes = 1023;
// 2^27 entries: 1 GiB of table.
inline constexpr uint32_t kMaxBitmapTableEntries = 0x08000000;

// Flags. In use: was open for writing, or is inconsistent since it was.
inline constexpr uint32_t kBitmapInUse = 1 << 0;
// Recording starts as soon as the image is opened.
inline constexpr uint32_t kBitmapAuto = 1 << 1;
// Unknown extra data does not change the bitmap's meaning.
inline constexpr uint32_t kBitmapExtraDataCompatible = 1 << 2;
inline constexpr uint32_t kKnownBitmapFlags =
    kBitmapInUse | kBitmapAuto | kBitmapExtraDataCompatible;

// One entry, which begins at a multiple of 8 from the directory's start:
//
//   bytes  field
//   0-7    bitmap table offset, cluster aligned
//   8-11   bitmap table entries
//   12-15  flags: bit 0 in use, 1 auto, 2 extra data compatible
//   16     type: 1 dirty tracking bitmap
//   17     granularity_bits: a bit stands for 2^granularity_bits guest bytes
//   18-19  length of the name
//   20-23  length of the extra data
//   24-    extra data, kept
//          name, unique in the image
//          padding to a multiple of 8, zero
struct BitmapDirectoryEntry {
  HostOffset table_offset;
  uint32_t table_size = 0;
  uint32_t flags = 0;
  uint8_t type = kBitmapTypeDirtyTracking;
  uint8_t granularity_bits = 16;
  std::vector<std::byte> extra_data;
  std::string name;

  // Bytes of each part that a cut-short input did not have, by the lengths in
  // the fixed part; all zero for a whole entry.
  uint64_t missing_fixed = 0;
  uint32_t missing_extra = 0;
  uint16_t missing_name = 0;

  // The entry at the start of `bytes`. Total: missing bytes are zero in the
  // fixed part, and absent in the others. Keeps no more than there is.
  static BitmapDirectoryEntry Decode(std::span<const std::byte> bytes);
  // The entry's bytes, without padding; of a cut-short entry those that were
  // there.
  std::vector<std::byte> Encode() const;

  // Bytes of the whole entry without and with padding, missing ones included.
  uint64_t size_bytes() const;
  uint64_t padded_size_bytes() const;
  bool complete() const;
  uint64_t extra_data_size() const {
    return uint64_t{extra_data.size()} + missing_extra;
  }

  bool in_use() const { return (flags & kBitmapInUse) != 0; }

  friend bool operator==(const BitmapDirectoryEntry&,
                         const BitmapDirectoryEntry&) = default;
};

// An entry and where it begins, in bytes from the directory's start.
struct LocatedBitmap {
  uint64_t offset = 0;
  BitmapDirectoryEntry entry;
};

// The first `count` entries of the directory in `bytes`. Ends early with an
// incomplete entry, or before one of which nothing is there.
std::vector<LocatedBitmap> DecodeBitmapDirectory(
    std::span<const std::byte> bytes, uint64_t count);

// The bytes of a directory with `entries`, each padded with zeros.
std::vector<std::byte> EncodeBitmapDirectory(
    std::span<const BitmapDirectoryEntry> entries);

// Entries of the bitmap table that a virtual disk of that many bytes needs,
// where each names one cluster of bits. Any granularity_bits; no overflow.
uint64_t BitmapTableEntriesFor(uint64_t virtual_size_bytes,
                               uint32_t granularity_bits,
                               const Geometry& geometry);

// What can be wrong with a directory entry by itself, as bits of a mask.
enum BitmapIssue : uint32_t {
  kBitmapCutShort = 1 << 0,
  kBitmapTableUnaligned = 1 << 1,
  // No table: its offset or its size is zero.
  kBitmapTableMissing = 1 << 2,
  kBitmapTableTooLarge = 1 << 3,
  kBitmapReservedFlags = 1 << 4,
  kBitmapUnknownType = 1 << 5,
  kBitmapBadGranularity = 1 << 6,
  kBitmapNameEmpty = 1 << 7,
  kBitmapNameTooLong = 1 << 8,
  // Extra data without the flag that says it may be ignored.
  kBitmapIncompatibleExtraData = 1 << 9,
};

// The issues of `entry`, 0 if there are none. table_size is not held against
// the disk's size: BitmapTableEntriesFor is there for that.
uint32_t BitmapIssues(const BitmapDirectoryEntry& entry,
                      const Geometry& geometry);

}  // namespace qcow2

#endif  // ENGINE_FORMAT_BITMAP_DIRECTORY_H_
