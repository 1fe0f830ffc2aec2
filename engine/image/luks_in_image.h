// Where an image keeps its LUKS area, and changing the keys there.
//
// Reads the file it is given; only WriteLuksChange writes.
#ifndef ENGINE_IMAGE_LUKS_IN_IMAGE_H_
#define ENGINE_IMAGE_LUKS_IN_IMAGE_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/codec/luks.h"
#include "engine/codec/luks_keys.h"
#include "engine/image/header_area.h"
#include "engine/storage/file.h"

namespace qcow2 {

// The LUKS area of the image in `file`, which must outlive it and of which
// `area` is the header area. InvalidArgument for an image without LUKS
// encryption, DataLoss for one that does not say where its LUKS header is.
absl::StatusOr<LuksArea> LuksAreaOf(const File& file, const HeaderArea& area);

// Writes `change`, made for LuksAreaOf(file, area), each write durable before
// the next begins. After an error the area is what LuksChange promises for a
// crash.
absl::Status WriteLuksChange(const LuksChange& change, const HeaderArea& area,
                             File& file);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_LUKS_IN_IMAGE_H_
