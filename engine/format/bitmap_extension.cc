#include "engine/format/bitmap_extension.h"

#include "engine/format/byte_order.h"

namespace qcow2 {
namespace {

// 24 bytes of fields and a name of at least one byte, padded to 8.
constexpr uint64_t kSmallestDirectoryEntry = 32;

}  // namespace

BitmapExtension BitmapExtension::Decode(std::span<const std::byte> data) {
  BitmapExtension extension;
  extension.nb_bitmaps = LoadBe32Padded(data, 0);
  extension.reserved = LoadBe32Padded(data, 4);
  extension.directory_size = LoadBe64Padded(data, 8);
  extension.directory_offset = HostOffset(LoadBe64Padded(data, 16));
  return extension;
}

std::array<std::byte, kBitmapExtensionSize> BitmapExtension::Encode() const {
  std::array<std::byte, kBitmapExtensionSize> bytes;
  StoreBe32(&bytes[0], nb_bitmaps);
  StoreBe32(&bytes[4], reserved);
  StoreBe64(&bytes[8], directory_size);
  StoreBe64(&bytes[16], directory_offset.value());
  return bytes;
}

uint32_t BitmapExtensionIssues(const BitmapExtension& extension,
                               uint64_t data_length, const Geometry& geometry) {
  uint32_t issues = 0;
  if (data_length != kBitmapExtensionSize) issues |= kBitmapExtensionBadLength;
  if (extension.reserved != 0) issues |= kBitmapExtensionReservedSet;
  if (extension.nb_bitmaps == 0) issues |= kBitmapExtensionNoBitmaps;
  if (extension.nb_bitmaps > kMaxBitmaps) {
    issues |= kBitmapExtensionTooManyBitmaps;
  }
  if (!geometry.IsAligned(extension.directory_offset.value())) {
    issues |= kBitmapExtensionDirectoryUnaligned;
  }
  if (extension.directory_size > kMaxBitmapDirectoryBytes) {
    issues |= kBitmapExtensionDirectoryTooLarge;
  }
  if (extension.directory_size <
      extension.nb_bitmaps * kSmallestDirectoryEntry) {
    issues |= kBitmapExtensionDirectoryTooSmall;
  }
  return issues;
}

}  // namespace qcow2
