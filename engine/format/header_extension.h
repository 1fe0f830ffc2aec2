// The header extensions, which lie in cluster 0 between the header and the
// backing file's name.
//
// Pure, no I/O. This file knows where extensions begin and end; what is in the
// ones known by name is in feature_name_table.h, bitmap_extension.h and
// luks_extension.h.
#ifndef ENGINE_FORMAT_HEADER_EXTENSION_H_
#define ENGINE_FORMAT_HEADER_EXTENSION_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/format/header.h"

namespace qcow2 {

// Types of extensions. An unknown type is skipped by readers and kept.
inline constexpr uint32_t kExtensionEnd = 0;
inline constexpr uint32_t kExtensionBackingFormat = 0xe2792aca;
inline constexpr uint32_t kExtensionFeatureNames = 0x6803f857;
inline constexpr uint32_t kExtensionBitmaps = 0x23852875;
inline constexpr uint32_t kExtensionLuks = 0x0537be77;
// "DATA".
inline constexpr uint32_t kExtensionDataFile = 0x44415441;

// What an extension of that type is called; empty for an unknown type.
std::string_view ExtensionTypeName(uint32_t type);

// One extension:
//
//   bytes        field
//   0-3          type
//   4-7          length of the data, without padding
//   8-           data
//   up to 7      padding to a multiple of 8, zero
struct HeaderExtension {
  uint32_t type = kExtensionEnd;
  // Where the type field stands, in bytes from the start of the image.
  uint64_t offset = 0;
  uint32_t length = 0;
  // Views into the decoder's input.
  std::span<const std::byte> data;
  std::span<const std::byte> padding;
};

// How an extension area ended.
enum class ExtensionAreaEnd {
  // With an extension of type 0, as it should.
  kMarker,
  // Where the area ends, without a marker (fewer than 8 bytes are left).
  kAreaEnd,
  // An extension claims more data than the area has.
  kOverflow,
  // The input ends before the area does, as in a file cut short.
  kInputEnd,
};

struct HeaderExtensions {
  std::vector<HeaderExtension> extensions;
  ExtensionAreaEnd end = ExtensionAreaEnd::kAreaEnd;
  // Where the marker stands, the area or the input ends, or the extension that
  // does not fit begins.
  uint64_t end_offset = 0;
  // The type and length of the extension that ended the area; of a marker the
  // length means nothing. Both 0 where there is none.
  uint32_t end_type = 0;
  uint32_t end_length = 0;

  // The first extension of that type, or null.
  const HeaderExtension* Find(uint32_t type) const;
};

// Where the extensions begin in `first_cluster`, the image's first one: at
// header_length, if that can be true. If not, where one of the known extensions
// stands behind a header of a usual length; 0 if nowhere.
uint64_t HeaderExtensionsBegin(const Header& header,
                               std::span<const std::byte> first_cluster);

// Where extensions of an image with `header` must end: at the backing file's
// name if that lies in cluster 0 behind the header, else with cluster 0.
uint64_t ExtensionAreaEndOffset(const Header& header, uint64_t cluster_size);

// The extensions in `first_bytes`, the image's first bytes, from `begin`
// (header_length) to `area_end`. Total. The result keeps views into
// `first_bytes`, which must outlive it.
HeaderExtensions DecodeHeaderExtensions(std::span<const std::byte> first_bytes,
                                        uint64_t begin, uint64_t area_end);

// The bytes of `extension`, with its own padding if it has any, else with
// zeros up to a multiple of 8. Its data's size counts, not `length`.
std::vector<std::byte> EncodeHeaderExtension(const HeaderExtension& extension);
// The bytes of an extension of that type, padded with zeros.
std::vector<std::byte> EncodeHeaderExtension(uint32_t type,
                                             std::span<const std::byte> data);

// The known types that occur more than once, each named once.
std::vector<uint32_t> RepeatedExtensions(const HeaderExtensions& extensions);

}  // namespace qcow2

#endif  // ENGINE_FORMAT_HEADER_EXTENSION_H_
