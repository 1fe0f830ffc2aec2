// The picture of an image as SVG: the file as a field of cells, a legend, the
// guest's disk as a strip with its partitions.
//
// Pure, no I/O.
#ifndef CLI_PICTURE_SVG_MAP_H_
#define CLI_PICTURE_SVG_MAP_H_

#include <string>
#include <string_view>

#include "cli/picture/picture.h"

namespace qcow2::cli {

// An SVG document that stands alone. `title` and `verdict` head it; they may
// hold anything.
std::string SvgDocument(const Picture& picture, std::string_view title,
                        std::string_view verdict);

// The same as an element of an HTML page, without style sheet and heading: the
// page has PaletteStyle() and kSvgStyle.
std::string SvgElement(const Picture& picture);

// The rules for what is not in the palette. They use the variables --damage,
// --ink, --paper and --faint.
extern const std::string_view kSvgStyle;

}  // namespace qcow2::cli

#endif  // CLI_PICTURE_SVG_MAP_H_
