// Everything that lies in front of an image: the header, its extensions and
// the backing file's name, as one value that can be changed and encoded again.
// Fields and extensions that are not known here are kept byte for byte.
//
// Reads the file it is given; writing is HeaderStore's.
#ifndef ENGINE_IMAGE_HEADER_AREA_H_
#define ENGINE_IMAGE_HEADER_AREA_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/format/feature_name_table.h"
#include "engine/format/geometry.h"
#include "engine/format/header.h"
#include "engine/storage/file.h"

namespace qcow2 {

// An extension with its own bytes; without padding.
struct StoredExtension {
  uint32_t type = 0;
  std::vector<std::byte> data;

  friend bool operator==(const StoredExtension&,
                         const StoredExtension&) = default;
};

struct HeaderArea {
  Header header;
  // In the order of the image, the end marker left out.
  std::vector<StoredExtension> extensions;
  // Empty without a backing file.
  std::string backing_name;

  // The first extension of that type, or null.
  const StoredExtension* Find(uint32_t type) const;
  // The data of that extension as text; nothing if there is none.
  std::optional<std::string> TextOf(uint32_t type) const;
  // Replaces the data of that extension. A new one goes to the front, because
  // what lies in the image's first sector changes whole or not at all.
  void Set(uint32_t type, std::span<const std::byte> data);
  void Set(uint32_t type, std::string_view text);
  void Remove(uint32_t type);
  // The image's own names for feature bits.
  std::vector<FeatureName> feature_names() const;

  // The bytes of the area, from offset 0. The backing name's place and length
  // in the header follow from the name. ResourceExhausted if the area does not
  // fit cluster 0.
  absl::StatusOr<std::vector<std::byte>> Encode() const;

  friend bool operator==(const HeaderArea&, const HeaderArea&) = default;
};

// The area of the image in `file`. InvalidArgument, naming the field, its
// offset and its value, if it cannot be used to read the image: bad magic,
// version, sizes, offsets, or incompatible features nobody knows (by name).
absl::StatusOr<HeaderArea> ReadHeaderArea(const File& file);

// The geometry `header` asks for.
absl::StatusOr<Geometry> GeometryOf(const Header& header);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_HEADER_AREA_H_
