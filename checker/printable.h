// Text from an image made safe to print: a name in an image may hold escape
// sequences that would move a terminal's cursor or hide what follows.
//
// Pure, no I/O.
#ifndef CHECKER_PRINTABLE_H_
#define CHECKER_PRINTABLE_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace qcow2::checker {

// `text` with every byte that is not part of a well-formed UTF-8 character, and
// every control, line-separating or direction-changing character, replaced by
// "\xNN" for each of its bytes. Backslashes stay as they are, so that applying
// it twice changes nothing.
std::string Printable(std::string_view text);

// `value` as people read offsets and words of tables: "0x1f0000".
std::string Hex(uint64_t value);

}  // namespace qcow2::checker

#endif  // CHECKER_PRINTABLE_H_
