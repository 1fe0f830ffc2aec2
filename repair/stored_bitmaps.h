// The bitmap directory as a repair reads it.
//
// Reads only. Keeps no more than the 64 MiB a directory may have.
#ifndef REPAIR_STORED_BITMAPS_H_
#define REPAIR_STORED_BITMAPS_H_

#include <cstdint>
#include <vector>

#include "checker/image_model.h"
#include "engine/format/bitmap_directory.h"
#include "engine/format/bitmap_extension.h"
#include "engine/storage/file.h"

namespace qcow2::repair {

struct StoredBitmaps {
  uint64_t offset = 0;
  // Bytes that the entries fill.
  uint64_t length = 0;
  std::vector<BitmapDirectoryEntry> entries;
  // The entries fill the directory, and are as many as the extension says,
  // both perhaps by another size or place than the extension gives.
  bool complete = false;
};

// The directory that `extension` locates in `view`, which `model` is of. Where
// place, size or number cannot be true, those that make all of it sound are
// taken; where none do, the entries that can be told apart.
StoredBitmaps ReadBitmapDirectory(const File& view,
                                  const checker::ImageModel& model,
                                  const BitmapExtension& extension);

// Whether nothing is wrong with the entry by itself and its table lies inside
// the file.
bool IsSoundBitmap(const BitmapDirectoryEntry& entry,
                   const checker::ImageModel& model);

}  // namespace qcow2::repair

#endif  // REPAIR_STORED_BITMAPS_H_
