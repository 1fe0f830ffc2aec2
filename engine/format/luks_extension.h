// The LUKS header pointer, a header extension of encrypted images.
//
// Pure, no I/O. The LUKS header itself is in luks_header.h.
#ifndef ENGINE_FORMAT_LUKS_EXTENSION_H_
#define ENGINE_FORMAT_LUKS_EXTENSION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/format/geometry.h"
#include "engine/format/types.h"

namespace qcow2 {

inline constexpr uint64_t kLuksExtensionSize = 16;

// The extension's data:
//
//   bytes  field
//   0-7    offset of the LUKS header in the image, cluster aligned
//   8-15   length in bytes of header and key material; the clusters these
//          bytes reach into are counted
struct LuksExtension {
  HostOffset offset;
  uint64_t length = 0;

  // The extension whose data begins `data`. Total: missing bytes are zero.
  static LuksExtension Decode(std::span<const std::byte> data);
  std::array<std::byte, kLuksExtensionSize> Encode() const;

  friend bool operator==(const LuksExtension&, const LuksExtension&) = default;
};

// What can be wrong with a LUKS header pointer by itself, as bits of a mask.
enum LuksExtensionIssue : uint32_t {
  kLuksExtensionBadLength = 1 << 0,
  kLuksExtensionUnaligned = 1 << 1,
  kLuksExtensionOffsetZero = 1 << 2,
  // No room for a LUKS header.
  kLuksExtensionAreaTooSmall = 1 << 3,
};

// The issues of `extension`, decoded from `data_length` bytes; 0 if none.
uint32_t LuksExtensionIssues(const LuksExtension& extension,
                             uint64_t data_length, const Geometry& geometry);

}  // namespace qcow2

#endif  // ENGINE_FORMAT_LUKS_EXTENSION_H_
