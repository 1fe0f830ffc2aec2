// The colours and names of what is drawn: one table for SVG, page and script.
//
// Pure, no I/O.
#ifndef CLI_PICTURE_PALETTE_H_
#define CLI_PICTURE_PALETTE_H_

#include <span>
#include <string>
#include <string_view>

#include "checker/ownership_map.h"

namespace qcow2::cli {

struct PaletteRow {
  checker::ClusterClass cluster_class;
  // Of style sheets: "--c-KEY" is the colour, ".c-KEY" what is filled with it.
  std::string_view key;
  std::string_view light;  // "#6ea8e0", on a light ground
  std::string_view dark;
};

// By class.
std::span<const PaletteRow> Palette();
const PaletteRow& PaletteRowOf(checker::ClusterClass cluster_class);

// Whether a class is drawn even where there is little of it: metadata and what
// is leaked.
bool IsNotable(checker::ClusterClass cluster_class);

// What marks damage, on a light ground.
inline constexpr std::string_view kDamageColour = "#d11a2a";

// Rules that set the colours as variables, for light and dark, and fill with
// them.
std::string PaletteStyle();

}  // namespace qcow2::cli

#endif  // CLI_PICTURE_PALETTE_H_
