// The tables of a new image, written from its layout as a stream: whatever the
// image's size, no more than a few MiB are in memory at a time.
//
// Writes the image file, within the tables' own places, and nothing else.
#ifndef ENGINE_IMAGE_CREATE_TABLES_H_
#define ENGINE_IMAGE_CREATE_TABLES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "engine/format/geometry.h"
#include "engine/image/image_layout.h"
#include "engine/storage/file.h"

namespace qcow2 {

// The refcount table, and blocks that count each cluster of the layout once.
// The clusters of both must read as zeros before.
absl::Status WriteRefcounts(const Geometry& geometry, const ImageLayout& layout,
                            File& file);

// The L1 table and the L2 tables of a preallocated image; what they lie on must
// read as zeros before. Each entry is COPIED. `l2_bitmap` is the second word of
// extended L2 entries.
absl::Status WriteMappings(const Geometry& geometry, const ImageLayout& layout,
                           uint64_t l2_bitmap, File& file);

// Zeros, in large pieces.
absl::Status WriteZeros(ByteRange range, File& file);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_CREATE_TABLES_H_
