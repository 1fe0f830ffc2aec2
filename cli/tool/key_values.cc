#include "cli/tool/key_values.h"

#include <cstddef>

namespace qcow2::tool {
namespace {

// Cuts the part up to the next single comma off the front of `rest`.
std::string NextPart(const std::string& list, size_t& at) {
  std::string part;
  while (at < list.size()) {
    const char c = list[at++];
    if (c == ',') {
      if (at >= list.size() || list[at] != ',') break;
      ++at;
    }
    part += c;
  }
  return part;
}

}  // namespace

std::string ForEachPair(
    const std::string& list,
    const std::function<std::string(const std::string& key,
                                    const std::string& value)>& take) {
  size_t at = 0;
  while (at < list.size()) {
    const std::string part = NextPart(list, at);
    const size_t equals = part.find('=');
    if (equals == std::string::npos) return "'" + part + "' has no '='";
    const std::string key = part.substr(0, equals);
    const std::string wrong = take(key, part.substr(equals + 1));
    if (!wrong.empty()) return std::string(key).append(": ").append(wrong);
  }
  return {};
}

std::string TakeSwitch(const std::string& value, bool& target) {
  target = value == "on";
  if (target || value == "off") return {};
  return "'" + value + "' is neither on nor off";
}

}  // namespace qcow2::tool
