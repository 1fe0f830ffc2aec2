// HeaderStore: the header area of an open image, and the one place that writes
// it back.
//
// Writes cluster 0 of the file it is given and nothing else.
#ifndef ENGINE_IMAGE_HEADER_STORE_H_
#define ENGINE_IMAGE_HEADER_STORE_H_

#include <utility>

#include "absl/status/status.h"
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
  absl::Status Switch(HeaderArea next);
  // OK, or the error after which the file must not be written any more.
  const absl::Status& health() const { return health_; }

 private:
  File& file_;
  HeaderArea area_;
  absl::Status health_;
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_HEADER_STORE_H_
