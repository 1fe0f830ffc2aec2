#include "cli/text_blocks.h"

#include <algorithm>
#include <cctype>
#include <cstdint>

#include "checker/printable.h"
#include "cli/units.h"
#include "cli/word_wrap.h"

namespace qcow2::cli {
namespace {

bool IsPlain(char c) {
  constexpr std::string_view kSafe = "/._-+=:,@%";
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         kSafe.find(c) != std::string_view::npos;
}

}  // namespace

std::string Detail(std::string_view label, std::string_view text) {
  std::string line(label);
  line += ":";
  line.append(std::max(line.size() + 1, kDetailTextIndent - kDetailIndent) -
                  line.size(),
              ' ');
  return Wrap(line.append(text), kDetailIndent, kDetailTextIndent);
}

std::string DescribeGuestRange(const checker::GuestRange& range) {
  const uint64_t last = range.offset_bytes + range.length_bytes - 1;
  std::string text = range.length_bytes == 0
                         ? "at byte " + std::to_string(range.offset_bytes)
                         : "bytes " + std::to_string(range.offset_bytes) + "-" +
                               std::to_string(last) + " (" +
                               HumanBytes(range.length_bytes) + " at " +
                               HumanBytes(range.offset_bytes) + ")";
  if (range.vm_state) text += ", saved machine state";
  if (!range.snapshot.empty()) {
    text += " of snapshot \"" + checker::Printable(range.snapshot) + "\"";
  }
  return text;
}

std::string ShellWord(std::string_view text) {
  std::string printable = checker::Printable(text);
  if (!printable.empty() && printable[0] != '-' &&
      std::all_of(printable.begin(), printable.end(), IsPlain)) {
    return printable;
  }
  std::string word = "'";
  for (const char c : printable) {
    word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return word + "'";
}

}  // namespace qcow2::cli
