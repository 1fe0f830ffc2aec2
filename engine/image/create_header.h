// The header area of a new image: its header, the header extensions and the
// backing file's name.
//
// Pure, no I/O.
#ifndef ENGINE_IMAGE_CREATE_HEADER_H_
#define ENGINE_IMAGE_CREATE_HEADER_H_

#include <cstddef>
#include <vector>

#include "engine/image/create_options.h"
#include "engine/image/header_area.h"
#include "engine/image/image_layout.h"

namespace qcow2 {

// Images with smaller clusters get no table of feature names: they keep their
// room for the name of a backing file to come.
inline constexpr uint32_t kMinFeatureNameClusterBits = 13;

// The header area for `options`, which must have passed CheckCreateOptions,
// with the structures where `layout` has them.
HeaderArea MakeHeaderArea(const CreateOptions& options,
                          const ImageLayout& layout);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_CREATE_HEADER_H_
