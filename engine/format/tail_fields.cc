#include "engine/format/tail_fields.h"

#include <algorithm>
#include <iterator>

namespace qcow2 {

std::span<const std::byte> TakeFront(std::span<const std::byte>& bytes,
                                     uint64_t size) {
  const auto front = bytes.first(std::min<uint64_t>(bytes.size(), size));
  bytes = bytes.subspan(front.size());
  return front;
}

std::string TakeText(std::span<const std::byte>& bytes, uint64_t size) {
  const auto front = TakeFront(bytes, size);
  std::string text(front.size(), '\0');
  std::transform(front.begin(), front.end(), text.begin(),
                 [](std::byte b) { return static_cast<char>(b); });
  return text;
}

void AppendText(const std::string& text, std::vector<std::byte>& out) {
  std::transform(text.begin(), text.end(), std::back_inserter(out),
                 [](char c) { return static_cast<std::byte>(c); });
}

}  // namespace qcow2
