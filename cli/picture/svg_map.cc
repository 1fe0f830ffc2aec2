#include "cli/picture/svg_map.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/picture/describe.h"
#include "cli/picture/markup.h"
#include "cli/picture/palette.h"
#include "cli/units.h"

namespace qcow2::cli {

const std::string_view kSvgStyle =
    ".map text{font:13px system-ui,sans-serif;fill:var(--ink)}\n"
    ".map .faint{fill:var(--faint)}\n"
    ".map .head{font-weight:600;font-size:15px}\n"
    ".map .title{font-weight:700;font-size:20px}\n"
    ".map .small{font-size:12px}\n"
    ".map .lines{stroke:var(--paper);stroke-width:1;fill:none}\n"
    ".map .ground{fill:var(--paper)}\n"
    ".map .frame{fill:none;stroke:var(--faint)}\n"
    ".map .bad{fill:var(--damage)}\n"
    ".map .cross{stroke:var(--damage);stroke-width:1.6;fill:none}\n"
    ".map .box{stroke:var(--damage);stroke-width:2;fill:none}\n"
    ".map .suspect{stroke:var(--ink);stroke-width:1.4;fill:none}\n"
    ".map .part{stroke:var(--faint);fill:var(--paper)}\n"
    ".map .part.hit{stroke:var(--damage);stroke-width:2}\n";

namespace {

using checker::ClusterClass;

constexpr double kMargin = 24;
constexpr double kWidth = 1152;
constexpr uint64_t kMaxColumns = 128;
constexpr uint64_t kMaxCells = kMaxColumns * 36;
constexpr uint64_t kMinColumns = 32;
constexpr uint64_t kStripColumns = 576;
constexpr double kStripHeight = 44;
constexpr double kPartitionHeight = 30;
constexpr int kLegendColumns = 4;
// Titles are what makes a picture large; cells alike need only one.
constexpr size_t kMaxTitleLines = 10;
// Of the title as it is in the file: a name can be one that grows as markup.
constexpr size_t kMaxTitleBytes = 600;

// How a cell looks: what most of it is, and in a band below what else.
struct Look {
  int main = -1;
  int band = -1;
  int band_tenths = 0;  // of the height
  uint32_t marks = 0;

  friend bool operator==(const Look&, const Look&) = default;
};

Look LookOf(const Composition& composition) {
  Look look;
  look.marks = composition.marks & (kMarkBad | kMarkSuspect);
  double all = 0;
  for (const double clusters : composition.clusters) all += clusters;
  if (all <= 0) return look;
  const auto share = [&](int i) {
    return i < 0 ? 0 : composition.clusters[static_cast<size_t>(i)] / all;
  };
  for (int i = 0; i < static_cast<int>(checker::kClusterClasses); ++i) {
    if (share(i) > share(look.main)) look.main = i;
  }
  double best = 0;
  for (int i = 0; i < static_cast<int>(checker::kClusterClasses); ++i) {
    if (i == look.main || share(i) <= 0) continue;
    const bool notable = IsNotable(static_cast<ClusterClass>(i));
    const double weight = notable ? share(i) + 1 : share(i);
    if (weight <= best || (!notable && share(i) < 0.02)) continue;
    best = weight;
    look.band = i;
    look.band_tenths =
        std::clamp(static_cast<int>(std::lround(share(i) * 10)), 2, 5);
  }
  return look;
}

std::string Number(double value) {
  std::string text = absl::StrFormat("%.2f", value);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string Title(const std::vector<std::string>& lines) {
  std::vector<std::string> shown = lines;
  if (shown.size() > kMaxTitleLines) {
    shown.resize(kMaxTitleLines);
    shown.emplace_back("...");
  }
  const std::string text = absl::StrJoin(shown, "; ");
  std::string title = Markup(text);
  for (size_t bytes = kMaxTitleBytes / 2; title.size() > kMaxTitleBytes;
       bytes /= 2) {
    title = Markup(CutText(text, bytes));
  }
  return "<title>" + title + "</title>";
}

std::string Text(double x, double y, std::string_view classes,
                 std::string_view text) {
  return absl::StrCat("<text x=\"", Number(x), "\" y=\"", Number(y),
                      "\" class=\"", std::string(classes), "\">", Markup(text),
                      "</text>\n");
}

std::string Fill(size_t cluster_class) {
  const PaletteRow& row = Palette()[cluster_class];
  return absl::StrCat("class=\"c-", std::string(row.key), "\" fill=\"",
                      std::string(row.light), "\"");
}

// Draws the picture from top to bottom.
class SvgWriter {
 public:
  explicit SvgWriter(const Picture& picture) : picture_(picture) {}

  std::string Draw(std::string_view title, std::string_view verdict,
                   bool stands_alone);

 private:
  struct Grid {
    uint64_t cells = 0;
    uint64_t columns = 0;
    uint64_t rows = 0;
    uint64_t clusters_per_cell = 1;
    double cell = 0;  // width and height

    // The left and upper edge of a cell, from those of the grid.
    double Left(uint64_t i) const {
      const uint64_t column = i % columns;
      return static_cast<double>(column) * cell;
    }
    double Top(uint64_t i) const {
      const uint64_t row = i / columns;
      return static_cast<double>(row) * cell;
    }
  };

  Grid MakeGrid() const;
  void DrawHeading(std::string_view title, std::string_view verdict);
  void DrawFile();
  // The cells [first, end) of one row, which look alike.
  void DrawCells(const Grid& grid, uint64_t first, uint64_t end,
                 const Look& look);
  void DrawMarks(const Grid& grid, uint64_t cell, const Look& look);
  void DrawLegend();
  void DrawGuest();
  void DrawStrip();
  void DrawPartitions();
  void DrawPartition(size_t index, double y);
  void DrawNotes();
  static void AddRect(std::string& rects, double x, double y, double width,
                      double height, const std::string& title);
  double GuestX(uint64_t offset) const;

  const Picture& picture_;
  std::string body_;
  std::string marks_;
  // By class: what most of a cell is, and the bands on top of that.
  std::array<std::string, checker::kClusterClasses> rects_;
  std::array<std::string, checker::kClusterClasses> bands_;
  double y_ = kMargin;
};

SvgWriter::Grid SvgWriter::MakeGrid() const {
  Grid grid;
  const uint64_t clusters = picture_.file_clusters;
  grid.clusters_per_cell =
      std::max<uint64_t>(1, (clusters + kMaxCells - 1) / kMaxCells);
  grid.cells = (clusters + grid.clusters_per_cell - 1) / grid.clusters_per_cell;
  grid.columns = kMinColumns;
  while (grid.columns < kMaxColumns && grid.cells > grid.columns * 10) {
    grid.columns += kMinColumns;
  }
  grid.rows = (grid.cells + grid.columns - 1) / grid.columns;
  grid.cell = kWidth / static_cast<double>(grid.columns);
  return grid;
}

void SvgWriter::AddRect(std::string& rects, double x, double y, double width,
                        double height, const std::string& title) {
  absl::StrAppend(&rects, "<rect x=\"", Number(x), "\" y=\"", Number(y),
                  "\" width=\"", Number(width), "\" height=\"", Number(height),
                  "\">", title, "</rect>\n");
}

void SvgWriter::DrawHeading(std::string_view title, std::string_view verdict) {
  y_ += 8;
  body_ += Text(kMargin, y_, "title", title);
  y_ += 24;
  body_ += Text(kMargin, y_, "", verdict);
  y_ += 16;
}

void SvgWriter::DrawCells(const Grid& grid, uint64_t first, uint64_t end,
                          const Look& look) {
  const double x = kMargin + grid.Left(first);
  const double y = y_ + grid.Top(first);
  const double width = static_cast<double>(end - first) * grid.cell;
  if (look.main < 0) return;
  // A mark on top has the title of its cell.
  const std::string title =
      look.marks != 0
          ? ""
          : Title(DescribeStretch(picture_, first * grid.clusters_per_cell,
                                  std::min(end * grid.clusters_per_cell,
                                           picture_.file_clusters)));
  AddRect(rects_[static_cast<size_t>(look.main)], x, y, width, grid.cell,
          title);
  if (look.band >= 0) {
    const double height = grid.cell * look.band_tenths / 10;
    AddRect(bands_[static_cast<size_t>(look.band)], x, y + grid.cell - height,
            width, height, "");
  }
}

void SvgWriter::DrawMarks(const Grid& grid, uint64_t cell, const Look& look) {
  const double inset = std::min(1.5, grid.cell / 8);
  const double x = kMargin + grid.Left(cell) + inset;
  const double y = y_ + grid.Top(cell) + inset;
  const double side = grid.cell - 2 * inset;
  const uint64_t first = cell * grid.clusters_per_cell;
  absl::StrAppend(&marks_, "<g pointer-events=\"all\">",
                  Title(DescribeStretch(picture_, first,
                                        std::min(first + grid.clusters_per_cell,
                                                 picture_.file_clusters))));
  const std::string at =
      absl::StrCat("x=\"", Number(x), "\" y=\"", Number(y), "\" width=\"",
                   Number(side), "\" height=\"", Number(side), "\"");
  if ((look.marks & kMarkOverlap) != 0) {
    absl::StrAppend(&marks_, "<rect class=\"bad\" fill=\"#d11a2a\" ", at, "/>");
  } else if ((look.marks & kMarkDamaged) != 0) {
    absl::StrAppend(&marks_, "<rect class=\"box\" fill=\"none\" stroke=\"",
                    "#d11a2a\" ", at, "/><path class=\"cross\" stroke=\"",
                    "#d11a2a\" d=\"M", Number(x), " ", Number(y), "l",
                    Number(side), " ", Number(side), "m0 -", Number(side), "l-",
                    Number(side), " ", Number(side), "\"/>");
  } else {
    absl::StrAppend(&marks_, "<circle class=\"suspect\" fill=\"none\" stroke=",
                    "\"#000\" cx=\"", Number(x + side / 2), "\" cy=\"",
                    Number(y + side / 2), "\" r=\"", Number(side / 3), "\"/>");
  }
  marks_ += "</g>\n";
}

void SvgWriter::DrawFile() {
  const Grid grid = MakeGrid();
  y_ += 20;
  body_ += Text(kMargin, y_, "head", "The file");
  body_ +=
      Text(kMargin + 70, y_, "faint",
           absl::StrCat(
               HumanBytes(picture_.file_size_bytes), " in ",
               Counted(picture_.file_clusters, "cluster", "clusters"), " of ",
               HumanBytes(picture_.cluster_size_bytes), "; a cell is ",
               grid.clusters_per_cell == 1
                   ? std::string("one cluster")
                   : Counted(grid.clusters_per_cell, "cluster", "clusters"),
               ", from left to right, line by line"));
  y_ += 12;
  for (uint64_t row = 0; row < grid.rows; ++row) {
    const uint64_t end = std::min(grid.cells, (row + 1) * grid.columns);
    Look last;
    uint64_t begin = row * grid.columns;
    for (uint64_t cell = begin; cell < end; ++cell) {
      const uint64_t first = cell * grid.clusters_per_cell;
      const Look look = LookOf(CompositionOf(
          picture_, first,
          std::min(first + grid.clusters_per_cell, picture_.file_clusters)));
      if (look.marks != 0) DrawMarks(grid, cell, look);
      if (cell > begin && look != last) {
        DrawCells(grid, begin, cell, last);
        begin = cell;
      }
      last = look;
    }
    if (begin < end) DrawCells(grid, begin, end, last);
  }
  // The title is that of what lies below a band.
  for (const auto& [layer, attribute] :
       {std::pair(&rects_, ""),
        std::pair(&bands_, " pointer-events=\"none\"")}) {
    for (size_t i = 0; i < layer->size(); ++i) {
      if ((*layer)[i].empty()) continue;
      absl::StrAppend(&body_, "<g ", Fill(i), attribute, ">\n", (*layer)[i],
                      "</g>\n");
    }
  }
  const double height = static_cast<double>(grid.rows) * grid.cell;
  std::string lines;
  for (uint64_t i = 0; i <= grid.columns; ++i) {
    absl::StrAppend(&lines, "M",
                    Number(kMargin + static_cast<double>(i) * grid.cell), " ",
                    Number(y_), "v", Number(height));
  }
  for (uint64_t i = 0; i <= grid.rows; ++i) {
    absl::StrAppend(&lines, "M", Number(kMargin), " ",
                    Number(y_ + static_cast<double>(i) * grid.cell), "h",
                    Number(kWidth));
  }
  absl::StrAppend(&body_,
                  "<path class=\"lines\" stroke=\"#fff\" fill=\"none\" ",
                  "pointer-events=\"none\" d=\"", lines, "\"/>\n", marks_);
  y_ += height;
}

void SvgWriter::DrawLegend() {
  y_ += 26;
  int column = 0;
  const auto entry = [&](const std::string& swatch, const std::string& name,
                         uint64_t clusters) {
    const double x = kMargin + column * kWidth / kLegendColumns;
    absl::StrAppend(&body_, "<g transform=\"translate(", Number(x), " ",
                    Number(y_ - 11), ")\">", swatch, "</g>\n");
    std::string text = name;
    if (clusters > 0) {
      text += ": " + HumanBytes(clusters * picture_.cluster_size_bytes);
    }
    body_ += Text(x + 20, y_, "small", text);
    if (++column == kLegendColumns) {
      column = 0;
      y_ += 20;
    }
  };
  for (size_t i = 0; i < picture_.totals.size(); ++i) {
    if (picture_.totals[i] == 0) continue;
    entry(absl::StrCat("<rect width=\"13\" height=\"13\" ", Fill(i), "/>"),
          std::string(checker::NameOf(static_cast<ClusterClass>(i))),
          picture_.totals[i]);
  }
  if (picture_.overlapping_clusters > 0) {
    entry("<rect width=\"13\" height=\"13\" class=\"bad\" fill=\"#d11a2a\"/>",
          "overlap", picture_.overlapping_clusters);
  }
  if (picture_.damaged_clusters > 0) {
    entry(
        "<path d=\"M1 1h11v11h-11zl11 11m0 -11l-11 11\" class=\"cross\" "
        "stroke=\"#d11a2a\" fill=\"none\"/>",
        "damaged", picture_.damaged_clusters);
  }
  const bool suspects = std::any_of(
      picture_.segments.begin(), picture_.segments.end(),
      [](const Segment& s) { return (s.marks & kMarkSuspect) != 0; });
  if (suspects) {
    entry(
        "<circle cx=\"6.5\" cy=\"6.5\" r=\"4.5\" class=\"suspect\" "
        "stroke=\"#000\" fill=\"none\"/>",
        "perhaps left of guest data", 0);
  }
  if (column != 0) y_ += 20;
}

double SvgWriter::GuestX(uint64_t offset) const {
  return kMargin + kWidth * static_cast<double>(offset) /
                       static_cast<double>(picture_.guest_size_bytes);
}

void SvgWriter::DrawStrip() {
  // In steps of a tenth, so that neighbours can be one rectangle.
  const auto level = [&](uint64_t column) {
    const uint64_t step = picture_.guest_size_bytes / kStripColumns;
    const uint64_t rest = picture_.guest_size_bytes % kStripColumns;
    const uint64_t first = column * step + column * rest / kStripColumns;
    const uint64_t end =
        (column + 1) * step + (column + 1) * rest / kStripColumns;
    const GuestShare share =
        GuestShareOf(picture_, first, std::max(end, first + 1));
    const double stored = share.stored + share.compressed;
    return std::pair(
        stored <= 0
            ? 0
            : std::clamp(static_cast<int>(std::lround(stored * 10)), 1, 10),
        share.compressed > share.stored);
  };
  constexpr double kColumn = kWidth / kStripColumns;
  uint64_t begin = 0;
  auto last = level(0);
  for (uint64_t column = 1; column <= kStripColumns; ++column) {
    const auto next =
        column < kStripColumns ? level(column) : std::pair(-1, false);
    if (next == last) continue;
    if (last.first > 0) {
      const double height = kStripHeight * last.first / 10;
      absl::StrAppend(
          &body_, "<rect ",
          Fill(static_cast<size_t>(last.second ? ClusterClass::kCompressedData
                                               : ClusterClass::kGuestData)),
          " x=\"", Number(kMargin + static_cast<double>(begin) * kColumn),
          "\" y=\"", Number(y_ + kStripHeight - height), "\" width=\"",
          Number(static_cast<double>(column - begin) * kColumn), "\" height=\"",
          Number(height), "\"><title>",
          absl::StrFormat("%d %% in the file", last.first * 10),
          "</title></rect>\n");
    }
    begin = column;
    last = next;
  }
  // Damage last, on top; what is close together is one mark.
  double drawn = -1;
  for (const DamagedRange& range : picture_.damaged) {
    const double x =
        GuestX(std::min(range.offset_bytes, picture_.guest_size_bytes));
    const double end = GuestX(std::min(range.offset_bytes + range.length_bytes,
                                       picture_.guest_size_bytes));
    if (x < drawn) continue;
    const double width = std::max(3.0, end - x);
    drawn = x + width;
    absl::StrAppend(&body_, "<rect class=\"bad\" fill=\"#d11a2a\" x=\"",
                    Number(std::min(x, kMargin + kWidth - width)), "\" y=\"",
                    Number(y_ - 5), "\" width=\"", Number(width),
                    "\" height=\"", Number(kStripHeight + 10), "\"><title>",
                    Markup(absl::StrFormat("DAMAGED: %s at 0x%x of the disk",
                                           HumanBytes(range.length_bytes),
                                           range.offset_bytes)),
                    "</title></rect>\n");
  }
}

void SvgWriter::DrawPartition(size_t index, double y) {
  const GuestPartition& partition = picture_.partitions.partitions[index];
  if (partition.length_bytes == 0 ||
      partition.offset_bytes >= picture_.guest_size_bytes) {
    return;
  }
  const bool hit = picture_.partition_damage[index].bytes > 0;
  const double x = GuestX(partition.offset_bytes);
  const double end =
      GuestX(std::min(partition.offset_bytes + partition.length_bytes,
                      picture_.guest_size_bytes));
  const double width = std::max(2.0, end - x);
  absl::StrAppend(
      &body_, "<g>",
      Title({DescribePartition(partition), HumanBytes(partition.length_bytes),
             std::string(
                 HitInWords(picture_, picture_.partition_damage[index]))}),
      "<rect class=\"part", hit ? " hit" : "", "\" fill=\"#fff\" stroke=\"",
      hit ? "#d11a2a" : "#888", "\" x=\"", Number(x), "\" y=\"", Number(y),
      "\" width=\"", Number(width), "\" height=\"",
      Number(kPartitionHeight - 6), "\"/>\n");
  // About as many letters as fit.
  const std::string label = absl::StrCat(partition.number, hit ? " HIT " : " ",
                                         partition.description);
  const auto letters = static_cast<size_t>(std::max(0.0, width - 10) / 7);
  if (letters >= 1) {
    body_ += Text(
        x + 5, y + 16, hit ? "small" : "small faint",
        label.size() <= letters
            ? label
            : absl::StrCat(partition.number, hit && letters > 4 ? " HIT" : ""));
  }
  body_ += "</g>\n";
}

void SvgWriter::DrawPartitions() {
  for (size_t i = 0; i < picture_.partitions.partitions.size(); ++i) {
    DrawPartition(i, y_);
  }
  if (!picture_.partitions.partitions.empty()) y_ += kPartitionHeight;
  for (const DamageLine& line : DescribePartitionDamage(picture_)) {
    y_ += 18;
    body_ += Text(kMargin, y_, "small", line.text);
  }
  for (const std::string& note : picture_.partitions.notes) {
    y_ += 18;
    body_ += Text(kMargin, y_, "small faint", note);
  }
}

void SvgWriter::DrawGuest() {
  if (picture_.guest_size_bytes == 0) return;
  y_ += 30;
  body_ += Text(kMargin, y_, "head", "The guest's disk");
  body_ += Text(kMargin + 150, y_, "faint",
                absl::StrCat(HumanBytes(picture_.guest_size_bytes),
                             "; filled as far as this file stores it",
                             picture_.partitions.table.empty()
                                 ? ""
                                 : ", below it the partitions (" +
                                       picture_.partitions.table + ")"));
  y_ += 16;
  absl::StrAppend(
      &body_, "<rect ", Fill(static_cast<size_t>(ClusterClass::kFree)), " x=\"",
      Number(kMargin), "\" y=\"", Number(y_), "\" width=\"", Number(kWidth),
      "\" height=\"", Number(kStripHeight), "\"/>\n");
  DrawStrip();
  y_ += kStripHeight + 10;
  DrawPartitions();
}

void SvgWriter::DrawNotes() {
  for (const std::string& limit : DescribeLimits(picture_)) {
    y_ += 20;
    body_ += Text(kMargin, y_, "small faint", limit);
  }
}

std::string SvgWriter::Draw(std::string_view title, std::string_view verdict,
                            bool stands_alone) {
  if (stands_alone) DrawHeading(title, verdict);
  if (!picture_.empty) {
    DrawFile();
    DrawLegend();
    DrawGuest();
  }
  DrawNotes();
  y_ += kMargin;
  const std::string size =
      absl::StrCat(Number(kWidth + 2 * kMargin), " ", Number(y_));
  std::string svg;
  if (stands_alone) svg += "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
  svg += "<svg";
  if (stands_alone) svg += " xmlns=\"http://www.w3.org/2000/svg\"";
  absl::StrAppend(&svg, " class=\"map\" role=\"img\" viewBox=\"0 0 ", size,
                  "\"");
  if (stands_alone) {
    absl::StrAppend(&svg, " width=\"", Number(kWidth + 2 * kMargin),
                    "\" height=\"", Number(y_), "\"");
  }
  absl::StrAppend(&svg, " font-family=\"sans-serif\" font-size=\"13\">\n",
                  "<title>", Markup(title), "</title>\n");
  if (stands_alone) {
    absl::StrAppend(
        &svg, "<style>\n", PaletteStyle(),
        ":root{--ink:#1b1f24;--paper:#fff;--faint:#687080}\n"
        "@media screen and (prefers-color-scheme:dark){:root{--ink:#e8ebef;"
        "--paper:#14171b;--faint:#9aa3b0}}\n",
        std::string(kSvgStyle), "</style>\n",
        "<rect class=\"ground\" fill=\"#fff\" width=\"100%\" ",
        "height=\"100%\"/>\n");
  }
  return absl::StrCat(svg, body_, "</svg>\n");
}

}  // namespace

std::string SvgDocument(const Picture& picture, std::string_view title,
                        std::string_view verdict) {
  return SvgWriter(picture).Draw(title, verdict, /*stands_alone=*/true);
}

std::string SvgElement(const Picture& picture) {
  return SvgWriter(picture).Draw("Map of the file and of the guest's disk", "",
                                 /*stands_alone=*/false);
}

}  // namespace qcow2::cli
