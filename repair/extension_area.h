// The header extensions of an image as a list that can be changed and written
// back, with the name of the backing file, which lies behind them, in tow.
//
// Writes only to cluster 0 of the view it is given, behind the header, and the
// header's field that locates the name.
#ifndef REPAIR_EXTENSION_AREA_H_
#define REPAIR_EXTENSION_AREA_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "checker/image_model.h"
#include "engine/format/header_extension.h"
#include "engine/storage/file.h"

namespace qcow2::repair {

// One extension, with its bytes as they are in the image.
struct StoredExtension {
  uint32_t type = kExtensionEnd;
  uint64_t offset = 0;  // of the type field when it was read
  std::vector<std::byte> data;
  std::vector<std::byte> padding;
};

class ExtensionArea {
 public:
  // The extensions of the image in `view`, which `model` is of. Nothing when
  // the first cluster cannot be read or header_length cannot be true.
  static std::optional<ExtensionArea> Read(const File& view,
                                           const checker::ImageModel& model);

  std::vector<StoredExtension>& extensions() { return extensions_; }
  // The last extension of that type, the one that counts, or null.
  StoredExtension* FindLast(uint32_t type);
  // Removes all extensions of that type.
  void Remove(uint32_t type);

  // How the list ended, as in HeaderExtensions.
  ExtensionAreaEnd end() const { return end_; }
  uint64_t end_offset() const { return end_offset_; }
  uint32_t end_type() const { return end_type_; }
  // The end of the room there is for extensions.
  uint64_t area_end() const { return area_end_; }
  std::span<const std::byte> first_cluster() const { return cluster_; }

  // Reads the list anew from `offset` on, behind the extensions before it.
  // False, and nothing changed, if what stands there is no list that ends as it
  // should.
  bool ReadOnFrom(uint64_t offset);

  // Writes the list, with a marker that ends it. The name of the backing file
  // moves if it has to. False, with nothing written, if there is no room.
  absl::StatusOr<bool> Write(File& view) const;

 private:
  void Take(const HeaderExtensions& decoded);
  std::vector<std::byte> Encode() const;

  Header header_;
  std::vector<std::byte> cluster_;
  uint64_t begin_ = 0;
  uint64_t area_end_ = 0;
  std::vector<StoredExtension> extensions_;
  ExtensionAreaEnd end_ = ExtensionAreaEnd::kAreaEnd;
  uint64_t end_offset_ = 0;
  uint32_t end_type_ = 0;
};

}  // namespace qcow2::repair

#endif  // REPAIR_EXTENSION_AREA_H_
