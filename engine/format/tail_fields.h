// Cutting the varying parts of a table's entry off its bytes, as the snapshot
// table and the bitmap directory need it.
//
// Pure, no I/O.
#ifndef ENGINE_FORMAT_TAIL_FIELDS_H_
#define ENGINE_FORMAT_TAIL_FIELDS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace qcow2 {

// Cuts `size` bytes, or all if there are fewer, off the front of `bytes`.
std::span<const std::byte> TakeFront(std::span<const std::byte>& bytes,
                                     uint64_t size);

// The same, as text.
std::string TakeText(std::span<const std::byte>& bytes, uint64_t size);

// Appends the characters of `text` as bytes.
void AppendText(const std::string& text, std::vector<std::byte>& out);

// `size` rounded up to a multiple of 8. REQUIRES: it does not overflow.
constexpr uint64_t RoundUpTo8(uint64_t size) { return (size + 7) / 8 * 8; }

}  // namespace qcow2

#endif  // ENGINE_FORMAT_TAIL_FIELDS_H_
