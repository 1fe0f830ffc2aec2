// The bitmaps extension, which says where the bitmap directory is.
//
// Pure, no I/O.
#ifndef ENGINE_FORMAT_BITMAP_EXTENSION_H_
#define ENGINE_FORMAT_BITMAP_EXTENSION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/format/geometry.h"
#include "engine/format/types.h"

namespace qcow2 {

inline constexpr uint64_t kBitmapExtensionSize = 24;
inline constexpr uint32_t kMaxBitmaps = 65535;
// 1024 bytes for each of 65535 bitmaps: as much as a name may have, and one.
inline constexpr uint64_t kMaxBitmapDirectoryBytes =
    uint64_t{1024} * kMaxBitmaps;

// The extension's data:
//
//   bytes  field
//   0-3    nb_bitmaps
//   4-7    reserved, zero
//   8-15   directory_size in bytes
//   16-23  directory_offset in the image, cluster aligned
struct BitmapExtension {
  uint32_t nb_bitmaps = 0;
  uint32_t reserved = 0;
  uint64_t directory_size = 0;
  HostOffset directory_offset;

  // The extension whose data begins `data`. Total: missing bytes are zero.
  static BitmapExtension Decode(std::span<const std::byte> data);
  std::array<std::byte, kBitmapExtensionSize> Encode() const;

  friend bool operator==(const BitmapExtension&,
                         const BitmapExtension&) = default;
};

// What can be wrong with a bitmaps extension by itself, as bits of a mask.
enum BitmapExtensionIssue : uint32_t {
  kBitmapExtensionBadLength = 1 << 0,
  kBitmapExtensionReservedSet = 1 << 1,
  // An image without bitmaps has no such extension.
  kBitmapExtensionNoBitmaps = 1 << 2,
  kBitmapExtensionTooManyBitmaps = 1 << 3,
  kBitmapExtensionDirectoryUnaligned = 1 << 4,
  kBitmapExtensionDirectoryTooLarge = 1 << 5,
  // Not even room for nb_bitmaps entries of the least size, 32 bytes each.
  kBitmapExtensionDirectoryTooSmall = 1 << 6,
};

// The issues of `extension`, decoded from `data_length` bytes; 0 if none.
uint32_t BitmapExtensionIssues(const BitmapExtension& extension,
                               uint64_t data_length, const Geometry& geometry);

}  // namespace qcow2

#endif  // ENGINE_FORMAT_BITMAP_EXTENSION_H_
