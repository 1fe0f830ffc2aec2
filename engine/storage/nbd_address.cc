#include "engine/storage/nbd_address.h"

#include <algorithm>
#include <iterator>

namespace qcow2 {
namespace {

constexpr std::string_view kSchemes[] = {
    "nbd://",       "nbds://",      "nbd+unix://",
    "nbds+unix://", "nbd+vsock://", "nbds+vsock://",
};

// The length of the scheme and the slashes behind it; 0 for no address.
size_t SchemeLength(std::string_view argument) {
  const auto* const scheme = std::find_if(
      std::begin(kSchemes), std::end(kSchemes),
      [&](std::string_view start) { return argument.starts_with(start); });
  return scheme == std::end(kSchemes) ? 0 : scheme->size();
}

}  // namespace

bool IsNbdAddress(std::string_view argument) {
  return SchemeLength(argument) > 0;
}

std::string ShownAddress(std::string_view argument) {
  const size_t begin = SchemeLength(argument);
  std::string shown(argument);
  if (begin == 0) return shown;
  const size_t end = std::min(shown.find_first_of("/?#", begin), shown.size());
  const size_t at = shown.substr(0, end).rfind('@');
  if (at != std::string::npos && at >= begin)
    shown.erase(begin, at + 1 - begin);
  return shown;
}

}  // namespace qcow2
