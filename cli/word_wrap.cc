#include "cli/word_wrap.h"

#include <algorithm>

namespace qcow2::cli {
namespace {

constexpr size_t kWidth = 79;

// How much of `text` goes on a line with `room` bytes.
size_t LineLength(std::string_view text, size_t room) {
  if (text.size() <= room) return text.size();
  const size_t last_space = text.rfind(' ', room);
  if (last_space != std::string_view::npos) return last_space;
  return std::min(text.find(' '), text.size());
}

}  // namespace

std::string Wrap(std::string_view text, size_t first_indent, size_t indent) {
  std::string out;
  size_t margin = first_indent;
  do {
    const size_t length = LineLength(text, kWidth - margin);
    out.append(margin, ' ').append(text.substr(0, length)).append("\n");
    text.remove_prefix(std::min(length + 1, text.size()));
    margin = indent;
  } while (!text.empty());
  return out;
}

}  // namespace qcow2::cli
