// Persistent dirty bitmaps of an image: which stretches of the disk changed
// since the bitmap was made or cleared.
//
// A bitmap that records follows every change of the disk as long as the image
// is written by programs that know bitmaps. While it is open and changed, the
// bitmap is marked in use; if it stays so (a crash), it is inconsistent and can
// only be removed.
//
// Each function has the image to itself while it works. What it makes of the
// bitmaps is written to new clusters and takes effect with one write of the
// header: after a crash the image has all of it or nothing. What was recorded
// before is stored along with it.
#ifndef ENGINE_IMAGE_BITMAPS_H_
#define ENGINE_IMAGE_BITMAPS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/image/header_area.h"
#include "engine/image/image_core.h"

namespace qcow2 {

struct BitmapInfo {
  std::string name;
  // What a bit stands for; 0 if it says nothing that can be.
  uint64_t granularity_bytes = 0;
  // Inconsistent: it was in use when the image was last written.
  bool in_use = false;
  // Whether it records: the format's "auto".
  bool records = false;
  // The bytes it says are dirty; nothing if it cannot be used.
  std::optional<uint64_t> dirty_bytes = std::nullopt;

  friend bool operator==(const BitmapInfo&, const BitmapInfo&) = default;
};

struct NewBitmap {
  // 1 to 1023 bytes.
  std::string name;
  // A power of two from 512 to 2 GiB; by default the cluster size, but at least
  // 4 KiB and at most 64 KiB.
  std::optional<uint64_t> granularity_bytes = std::nullopt;
  bool records = true;
};

// The bitmaps in their order, with what was recorded but not yet stored. None
// where a program that does not know bitmaps has written the image: what it
// left of them means nothing. DataLoss for a damaged directory.
absl::StatusOr<std::vector<BitmapInfo>> ListBitmaps(ImageCore& core);

// All of the following: FailedPrecondition for an image of version 2 or opened
// read-only; DataLoss for a damaged directory, or where a damaged bitmap would
// be needed.

// Adds an empty bitmap. AlreadyExists for a name that is there;
// InvalidArgument for a name or granularity that cannot be, or a granularity
// that makes the bitmap too large (512 MiB); ResourceExhausted if there are
// too many bitmaps; FailedPrecondition for a disk without bytes.
absl::Status AddBitmap(ImageCore& core, const NewBitmap& bitmap);
// NotFound if there is none of that name. The last one takes the extension with
// it.
absl::Status RemoveBitmap(ImageCore& core, std::string_view name);

// NotFound if there is none of that name; FailedPrecondition for one that is
// inconsistent or not usable.
absl::Status ClearBitmap(ImageCore& core, std::string_view name);
// Whether it records from now on.
absl::Status EnableBitmap(ImageCore& core, std::string_view name);
absl::Status DisableBitmap(ImageCore& core, std::string_view name);
// Makes dirty in `target` what is dirty in `source_name` of `source`, which may
// be the same image, with any granularity. FailedPrecondition if the disks
// differ in size.
absl::Status MergeBitmap(ImageCore& source, std::string_view source_name,
                         ImageCore& target, std::string_view target_name);

// Whether the bitmaps can follow the disk to `new_size_bytes`:
// FailedPrecondition for one that is inconsistent or not usable, and for a disk
// without bytes; InvalidArgument for one that would become too large.
absl::Status CheckBitmapsCanResize(ImageCore& core, uint64_t new_size_bytes);
// For who holds the image with ExclusiveUse, after that check: gives the disk
// that size, in the header, and the bitmaps with it by the same write. The new
// bits are clear.
absl::Status ResizeWithBitmaps(ImageCore& core, uint64_t new_size_bytes);

// The same check, for who holds the image with ExclusiveUse.
absl::Status CheckBitmapsCanResizeHeld(ImageCore& core,
                                       uint64_t new_size_bytes);
// For who holds the image with ExclusiveUse, after that check, and puts another
// disk of that size in the place of this one. Calls `switch_header` with a
// header area that has the size and bitmaps of it, to be made the image's, with
// what else the caller changes of it, by one write. In bitmaps that record all
// of the new disk is dirty; those that do not keep what they have, as with a
// resize. An error: the header was not switched.
absl::Status ReplaceDiskAndBitmaps(
    ImageCore& core, uint64_t new_size_bytes,
    const std::function<absl::Status(HeaderArea next)>& switch_header);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_BITMAPS_H_
