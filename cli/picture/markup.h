// Text as it may stand in HTML, SVG and XML.
//
// Pure, no I/O.
#ifndef CLI_PICTURE_MARKUP_H_
#define CLI_PICTURE_MARKUP_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace qcow2::cli {

// `text`, which may come from an image, for the content of an element or for
// the value of an attribute in quotes: what no document may have is shown as
// Printable() does, what would be markup as references to characters.
std::string Markup(std::string_view text);

// `text` as Printable() shows it, if that takes at most `bytes` bytes; else the
// beginning of it and "...".
std::string CutText(std::string_view text, size_t bytes);

}  // namespace qcow2::cli

#endif  // CLI_PICTURE_MARKUP_H_
