#include "cli/picture/palette.h"

#include <cstddef>

namespace qcow2::cli {
namespace {

using checker::ClusterClass;

// Families: refcounts violet, mapping tables green, data blue.
constexpr PaletteRow kPalette[] = {
    {ClusterClass::kHeader, "header", "#20262e", "#f1f4f8"},
    {ClusterClass::kRefcountTable, "reftable", "#6d28d9", "#a67bf5"},
    {ClusterClass::kRefcountBlock, "refblock", "#a98bf0", "#7c5ac9"},
    {ClusterClass::kActiveL1, "l1", "#14532d", "#b7f0c8"},
    {ClusterClass::kSnapshotL1, "snapl1", "#5f7d12", "#cfe57a"},
    {ClusterClass::kActiveL2, "l2", "#22a05a", "#37b870"},
    {ClusterClass::kSnapshotL2, "snapl2", "#9ccb5a", "#84a83f"},
    {ClusterClass::kSnapshotTable, "snaptable", "#0f766e", "#2dd4bf"},
    {ClusterClass::kBitmaps, "bitmaps", "#0ea5c6", "#22b8d8"},
    {ClusterClass::kLuksHeader, "luks", "#8a5a34", "#c99467"},
    {ClusterClass::kGuestData, "data", "#7fb0e6", "#3f74b5"},
    {ClusterClass::kSnapshotData, "snapdata", "#bcd5f2", "#2b4a73"},
    {ClusterClass::kCompressedData, "compressed", "#3f6fb0", "#6fa3e3"},
    {ClusterClass::kVmState, "vmstate", "#8794a8", "#77859b"},
    {ClusterClass::kLeaked, "leaked", "#f2960c", "#f7a928"},
    {ClusterClass::kFree, "free", "#e9ecf0", "#2a2f37"},
    {ClusterClass::kUnknown, "unknown", "#c9c2b8", "#5c564e"},
};
static_assert(std::size(kPalette) == checker::kClusterClasses);

void AppendVariables(std::string_view PaletteRow::*colour,
                     std::string_view damage, std::string& style) {
  style += ":root{";
  for (const PaletteRow& row : kPalette) {
    style.append("--c-").append(row.key).append(":");
    style.append(row.*colour).append(";");
  }
  style.append("--damage:").append(damage).append("}");
}

}  // namespace

std::span<const PaletteRow> Palette() { return kPalette; }

const PaletteRow& PaletteRowOf(ClusterClass cluster_class) {
  return kPalette[static_cast<size_t>(cluster_class)];
}

bool IsNotable(ClusterClass cluster_class) {
  return cluster_class <= ClusterClass::kLuksHeader ||
         cluster_class == ClusterClass::kLeaked;
}

std::string PaletteStyle() {
  std::string style;
  AppendVariables(&PaletteRow::light, kDamageColour, style);
  style += "\n@media screen and (prefers-color-scheme:dark){";
  AppendVariables(&PaletteRow::dark, "#ff5a68", style);
  style += "}\n";
  for (const PaletteRow& row : kPalette) {
    style.append(".c-").append(row.key).append("{fill:var(--c-");
    style.append(row.key).append(")}\n");
  }
  return style;
}

}  // namespace qcow2::cli
