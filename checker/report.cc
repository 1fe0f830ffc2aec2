#include "checker/report.h"

#include <array>
#include <cstddef>

namespace qcow2::checker {

std::string_view NameOf(CheckStatus status) {
  static constexpr std::array<std::string_view, 5> kNames = {
      "clean", "leaks", "corrupt", "inconclusive", "error"};
  return kNames[static_cast<size_t>(status)];
}

}  // namespace qcow2::checker
