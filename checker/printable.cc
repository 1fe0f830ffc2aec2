#include "checker/printable.h"

#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>

namespace qcow2::checker {
namespace {

// A decoded character; `length` 0 when the bytes are no well-formed UTF-8.
struct Character {
  uint32_t code = 0;
  size_t length = 0;
};

size_t LengthFromLeadByte(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

Character DecodeUtf8(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t length = LengthFromLeadByte(lead);
  if (length == 1) return {lead, 1};
  if (length == 0 || length > text.size()) return {};
  uint32_t code = lead & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte & 0xC0) != 0x80) return {};
    code = code << 6 | (byte & 0x3F);
  }
  const uint32_t smallest = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000;
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < smallest || code > 0x10FFFF || surrogate) return {};
  return {code, length};
}

bool ChangesTheTerminal(uint32_t code) {
  const bool control = code < 0x20 || (code >= 0x7F && code <= 0x9F);
  const bool separator = code == 0x2028 || code == 0x2029;
  const bool direction = code == 0x061C || code == 0x200E || code == 0x200F ||
                         (code >= 0x202A && code <= 0x202E) ||
                         (code >= 0x2066 && code <= 0x2069);
  return control || separator || direction;
}

void AppendEscaped(std::string_view bytes, std::string& out) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    out += "\\x";
    out += kDigits[byte >> 4];
    out += kDigits[byte & 0xF];
  }
}

}  // namespace

std::string Printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character character = DecodeUtf8(text);
    const size_t length = character.length == 0 ? 1 : character.length;
    const std::string_view bytes = text.substr(0, length);
    if (character.length == 0 || ChangesTheTerminal(character.code)) {
      AppendEscaped(bytes, out);
    } else {
      out += bytes;
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string Hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%" PRIx64, value);
  return text;
}

}  // namespace qcow2::checker
