#include "engine/format/luks_extension.h"

#include "engine/format/byte_order.h"
#include "engine/format/luks_header.h"

namespace qcow2 {

LuksExtension LuksExtension::Decode(std::span<const std::byte> data) {
  return {HostOffset(LoadBe64Padded(data, 0)), LoadBe64Padded(data, 8)};
}

std::array<std::byte, kLuksExtensionSize> LuksExtension::Encode() const {
  std::array<std::byte, kLuksExtensionSize> bytes;
  StoreBe64(&bytes[0], offset.value());
  StoreBe64(&bytes[8], length);
  return bytes;
}

uint32_t LuksExtensionIssues(const LuksExtension& extension,
                             uint64_t data_length, const Geometry& geometry) {
  uint32_t issues = 0;
  if (data_length != kLuksExtensionSize) issues |= kLuksExtensionBadLength;
  if (!geometry.IsAligned(extension.offset.value())) {
    issues |= kLuksExtensionUnaligned;
  }
  if (extension.offset.value() == 0) issues |= kLuksExtensionOffsetZero;
  if (extension.length < kLuksHeaderSize) issues |= kLuksExtensionAreaTooSmall;
  return issues;
}

}  // namespace qcow2
