// Changing what an existing image is: its version, the width of its refcounts,
// whether they may be late, and its backing file.
//
// Each function takes the whole image while it works, and leaves every guest
// byte and every snapshot as it was. A crash at any point leaves the image as
// it was or as it was to be, and at worst leaked clusters.
#ifndef ENGINE_IMAGE_AMEND_H_
#define ENGINE_IMAGE_AMEND_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "engine/image/image.h"

namespace qcow2 {

// Makes an image of version 2 (compat 0.10) one of version 3 (1.1), with a
// table of feature names where there is room. Does nothing to one of version 3.
absl::Status UpgradeImage(Image& image);

// Makes an image of version 3 one of version 2. Clusters that are only marked
// as zeros become unallocated, or where a backing file would show through,
// zeros that are stored. Lazy refcounts end. Does nothing to one of version 2.
//
// FailedPrecondition, naming it and with nothing changed, for what version 2
// cannot have: refcounts of other than 16 bits, extended L2 entries, zstd, a
// data file, bitmaps (also stale ones, whose clusters would be leaked), unknown
// fields, or snapshots of another size than the disk; and for an image that was
// opened with lazy refcounts, or with an overlap check of inactive L2 tables.
absl::Status DowngradeImage(Image& image);

// Whether writers may leave the refcounts behind. FailedPrecondition for an
// image of version 2. The image at hand goes on as it was opened.
absl::Status SetLazyRefcounts(Image& image, bool lazy);

// Changes the names that the image has for its backing file and that file's
// format, and nothing else: what shows through is the caller's business, and
// the disk at hand keeps the backing disk it was opened with. An empty name
// takes the backing file away. `format` may be empty.
//
// InvalidArgument for names that are too long or have a zero byte,
// FailedPrecondition for a backing file with a raw data file,
// ResourceExhausted if they do not fit the first cluster.
absl::Status SetBackingFile(Image& image, const std::string& name,
                            const std::string& format);

// Gives refcounts `bits` bits: 1, 2, 4 ... 64. Writes new refcount structures
// behind everything else and then switches over. Closes the image, changed or
// not: its tables in memory are those of the old width.
//
// InvalidArgument for another width, FailedPrecondition for an image of version
// 2 or one that was opened with lazy refcounts, OutOfRange, naming cluster and
// count, if a count does not fit, ResourceExhausted if the refcount table would
// be too long.
absl::Status ChangeRefcountWidth(Image& image, uint32_t bits);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_AMEND_H_
