// HeaderStore: the header area of an open image, and the one place that writes
// it back.
//
// Writes cluster 0 of the file it is given and nothing else.
#ifndef ENGINE_IMAGE_HEADER_STORE_H_
#define ENGINE_IMAGE_HEADER_STORE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/image/header_area.h"
#include "engine/storage/file.h"

namespace qcow2 {

class HeaderStore {
 public:
  // `file` must outlive the store.
  HeaderStore(File& file, HeaderArea area)
      : file_(file), area_(std::move(area)) {}

  const HeaderArea& area() const { return area_; }
  const Header& header() const { return area_.header; }

  // Makes `next` the image's header area: what was written before is flushed
  // first, and the new header after, so that nobody sees a header that names
  // what is not there yet, or that something still relies on the old one. On
  // an error the old area stays this store's. If it came once the header was
  // being written, nobody knows which of the two the file has: from then on
  // nothing may be written, and health() says why.
  //
  // After a crash the file has the old area or the new one, as long as the
  // disk writes the first 512 bytes whole or not at all. (Where the area is
  // longer, the names of features may be missing from the new one; and it takes
  // what is not such a name to fit these bytes, apart from the backing file's.)
  absl::Status Switch(HeaderArea next);
  // OK, or the error after which the file must not be written any more.
  const absl::Status& health() const { return health_; }

 private:
  // Whether the file has `bytes` already, but for its first sector.
  absl::StatusOr<bool> TailIsThere(std::span<const std::byte> bytes) const;
  // Makes `next` the header area by the first sector alone: see Switch.
  // Nothing, and nothing is written, if that cannot be.
  absl::StatusOr<std::optional<std::vector<std::byte>>> PlanBridge(
      const HeaderArea& next, uint64_t next_end);
  absl::Status WriteAndFlush(uint64_t offset, std::span<const std::byte> bytes);

  File& file_;
  HeaderArea area_;
  absl::Status health_;
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_HEADER_STORE_H_
