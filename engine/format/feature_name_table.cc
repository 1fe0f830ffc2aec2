#include "engine/format/feature_name_table.h"

#include <algorithm>

namespace qcow2 {
namespace {

struct KnownFeature {
  FeatureKind kind;
  uint8_t bit;
  std::string_view name;
  // What writers of the format put into an image's own table.
  std::string_view name_in_images = name;
};

constexpr KnownFeature kKnownFeatures[] = {
    {FeatureKind::kIncompatible, 0, "dirty", "dirty bit"},
    {FeatureKind::kIncompatible, 1, "corrupt", "corrupt bit"},
    {FeatureKind::kIncompatible, 2, "external data file"},
    {FeatureKind::kIncompatible, 3, "compression type"},
    {FeatureKind::kIncompatible, 4, "extended L2 entries"},
    {FeatureKind::kCompatible, 0, "lazy refcounts"},
    {FeatureKind::kAutoclear, 0, "bitmaps"},
    {FeatureKind::kAutoclear, 1, "raw external data"},
};

}  // namespace

FeatureName FeatureName::Decode(std::span<const std::byte> bytes) {
  const auto at = [bytes](uint64_t i) {
    return i < bytes.size() ? std::to_integer<uint8_t>(bytes[i]) : uint8_t{0};
  };
  FeatureName row;
  row.kind = at(0);
  row.bit = at(1);
  for (uint64_t i = 0; i < row.padded_name.size(); ++i) {
    row.padded_name[i] = static_cast<char>(at(2 + i));
  }
  return row;
}

std::array<std::byte, kFeatureNameRowSize> FeatureName::Encode() const {
  std::array<std::byte, kFeatureNameRowSize> bytes;
  bytes[0] = static_cast<std::byte>(kind);
  bytes[1] = static_cast<std::byte>(bit);
  std::transform(padded_name.begin(), padded_name.end(), bytes.begin() + 2,
                 [](char c) { return static_cast<std::byte>(c); });
  return bytes;
}

std::string_view FeatureName::name() const {
  const auto end = std::find(padded_name.begin(), padded_name.end(), '\0');
  return {padded_name.data(), static_cast<size_t>(end - padded_name.begin())};
}

std::vector<FeatureName> DecodeFeatureNames(std::span<const std::byte> data) {
  std::vector<FeatureName> rows;
  while (data.size() >= kFeatureNameRowSize) {
    rows.push_back(FeatureName::Decode(data.first(kFeatureNameRowSize)));
    data = data.subspan(kFeatureNameRowSize);
  }
  return rows;
}

std::vector<std::byte> KnownFeatureNames() {
  std::vector<std::byte> table;
  for (const KnownFeature& feature : kKnownFeatures) {
    FeatureName row;
    row.kind = static_cast<uint8_t>(feature.kind);
    row.bit = feature.bit;
    std::copy(feature.name_in_images.begin(), feature.name_in_images.end(),
              row.padded_name.begin());
    const auto bytes = row.Encode();
    table.insert(table.end(), bytes.begin(), bytes.end());
  }
  return table;
}

std::string_view NameOfFeature(FeatureKind kind, uint32_t bit,
                               std::span<const FeatureName> table) {
  for (const KnownFeature& known : kKnownFeatures) {
    if (known.kind == kind && known.bit == bit) return known.name;
  }
  for (const FeatureName& row : table) {
    if (row.kind == static_cast<uint8_t>(kind) && row.bit == bit) {
      return row.name();
    }
  }
  return "";
}

}  // namespace qcow2
