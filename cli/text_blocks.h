// Pieces of text that the reports for people are built from.
//
// Pure, no I/O.
#ifndef CLI_TEXT_BLOCKS_H_
#define CLI_TEXT_BLOCKS_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "checker/finding.h"

namespace qcow2::cli {

// Where the lines of an item and of its details begin, and the text behind a
// detail's label.
inline constexpr size_t kItemIndent = 2;
inline constexpr size_t kDetailIndent = 6;
inline constexpr size_t kDetailTextIndent = 14;

// "      label:  text", wrapped.
std::string Detail(std::string_view label, std::string_view text);

// "bytes 0-65535 (64 KiB at 0 bytes) of snapshot "one"".
std::string DescribeGuestRange(const checker::GuestRange& range);

// `text` as one word of a shell's command line, in quotes if it needs them.
std::string ShellWord(std::string_view text);

}  // namespace qcow2::cli

#endif  // CLI_TEXT_BLOCKS_H_
