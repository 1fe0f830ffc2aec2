#include "checker/finding.h"

#include <array>
#include <bit>
#include <cstddef>

namespace qcow2::checker {

std::string_view NameOfOwner(uint32_t owner) {
  static constexpr std::array<std::string_view, kOwnerCount> kNames = {
      "header",           "active L1",       "inactive L1",    "active L2",
      "inactive L2",      "refcount table",  "refcount block", "snapshot table",
      "bitmap directory", "bitmap table",    "bitmap data",    "LUKS header",
      "guest data",       "compressed data", "VM state"};
  return kNames[static_cast<size_t>(std::countr_zero(owner))];
}

std::vector<std::string> OwnerNames(uint32_t owners) {
  std::vector<std::string> names;
  for (int bit = 0; bit < kOwnerCount; ++bit) {
    const uint32_t owner = 1u << bit;
    if ((owners & owner) != 0) names.emplace_back(NameOfOwner(owner));
  }
  return names;
}

std::string_view NameOf(Structure structure) {
  static constexpr std::array<std::string_view, 17> kNames = {
      "file",
      "header",
      "header extension",
      "active L1 table",
      "snapshot L1 table",
      "active L2 table",
      "inactive L2 table",
      "refcount table",
      "refcount block",
      "host cluster",
      "snapshot table",
      "bitmap directory",
      "bitmap table",
      "bitmap data",
      "LUKS header",
      "data file",
      "backing file"};
  return kNames[static_cast<size_t>(structure)];
}

}  // namespace qcow2::checker
