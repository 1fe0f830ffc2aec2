// Breaks a paragraph into lines.
//
// Pure, no I/O.
#ifndef CLI_WORD_WRAP_H_
#define CLI_WORD_WRAP_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace qcow2::cli {

// `text` in lines of at most 79 bytes (a longer word gets a line of its own),
// each ended by a newline. The first line starts with `first_indent` spaces,
// the others with `indent`.
std::string Wrap(std::string_view text, size_t first_indent, size_t indent);

}  // namespace qcow2::cli

#endif  // CLI_WORD_WRAP_H_
