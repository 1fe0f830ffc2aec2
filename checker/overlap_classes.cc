#include "checker/overlap_classes.h"

#include <optional>

#include "absl/status/status.h"

namespace qcow2::checker {
namespace {

constexpr uint32_t kConstant = kOwnerHeader | kOwnerActiveL1 |
                               kOwnerRefcountTable | kOwnerSnapshotTable |
                               kOwnerBitmapDirectory | kOwnerLuksHeader;
constexpr uint32_t kCached =
    kConstant | kOwnerActiveL2 | kOwnerRefcountBlock | kOwnerInactiveL1;

struct NamedClasses {
  std::string_view name;
  uint32_t bits;
};

constexpr NamedClasses kTemplates[] = {
    {"none", 0},
    {"constant", kConstant},
    {"cached", kCached},
    {"all", kMetadataOwners},
};

constexpr NamedClasses kClasses[] = {
    {"main-header", kOwnerHeader},
    {"active-l1", kOwnerActiveL1},
    {"active-l2", kOwnerActiveL2},
    {"refcount-table", kOwnerRefcountTable},
    {"refcount-block", kOwnerRefcountBlock},
    {"snapshot-table", kOwnerSnapshotTable},
    {"inactive-l1", kOwnerInactiveL1},
    {"inactive-l2", kOwnerInactiveL2},
    {"bitmap-directory", kOwnerBitmapDirectory},
    {"bitmap-table", kOwnerBitmapTable},
    {"bitmap-data", kOwnerBitmapData},
    {"luks-header", kOwnerLuksHeader},
};

template <size_t kSize>
std::optional<uint32_t> Find(const NamedClasses (&table)[kSize],
                             std::string_view name) {
  for (const NamedClasses& row : table) {
    if (row.name == name) return row.bits;
  }
  return std::nullopt;
}

absl::Status UnknownItem(std::string_view item) {
  std::string message = "'" + std::string(item) + "' is neither a template (";
  std::string_view separator;
  for (const NamedClasses& row : kTemplates) {
    message.append(separator).append(row.name);
    separator = ", ";
  }
  message += ", first only) nor + or - and a class (";
  separator = "";
  for (const NamedClasses& row : kClasses) {
    message.append(separator).append(row.name);
    separator = ", ";
  }
  return absl::InvalidArgumentError(message + ")");
}

// Switches the class that `item` ("+class" or "-class") names.
absl::Status Switch(std::string_view item, uint32_t& bits) {
  if (item.empty()) return UnknownItem(item);
  const std::optional<uint32_t> classes = Find(kClasses, item.substr(1));
  if (!classes || (item[0] != '+' && item[0] != '-')) return UnknownItem(item);
  bits = item[0] == '+' ? bits | *classes : bits & ~*classes;
  return absl::OkStatus();
}

}  // namespace

OverlapClasses OverlapClasses::Constant() { return OverlapClasses(kConstant); }

OverlapClasses OverlapClasses::Cached() { return OverlapClasses(kCached); }

absl::StatusOr<OverlapClasses> OverlapClasses::Parse(std::string_view text) {
  uint32_t bits = kMetadataOwners;
  for (bool first = true, more = true; more; first = false) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    more = comma != std::string_view::npos;
    if (more) text.remove_prefix(comma + 1);
    const std::optional<uint32_t> base = Find(kTemplates, item);
    if (first && base) {
      bits = *base;
    } else if (absl::Status status = Switch(item, bits); !status.ok()) {
      return status;
    }
  }
  return OverlapClasses(bits);
}

}  // namespace qcow2::checker
