#include "cli/picture/html_page.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "checker/printable.h"
#include "checker/problems.h"
#include "cli/explain.h"
#include "cli/finding_groups.h"
#include "cli/human_printer.h"
#include "cli/picture/describe.h"
#include "cli/picture/markup.h"
#include "cli/picture/page_data.h"
#include "cli/picture/page_resources.h"
#include "cli/picture/palette.h"
#include "cli/picture/svg_map.h"
#include "cli/repair_text.h"
#include "cli/text_blocks.h"
#include "cli/units.h"
#include "cli/version.h"
#include "engine/codec/crypto_hash.h"

namespace qcow2::cli {
namespace {

using checker::CheckReport;
using checker::Finding;
using checker::ProblemRow;
using checker::Severity;

// What names in the image make long is cut off there.
constexpr size_t kMaxFindingsBytes = size_t{8} << 20;
// Consequences listed below their cause.
constexpr size_t kMaxConsequences = 50;

// "<TAG CLASS>text</TAG>", the text made markup; no class if that is empty.
std::string Element(std::string_view tag, std::string_view classes,
                    std::string_view text) {
  std::string element = "<" + std::string(tag);
  if (!classes.empty()) element += " class=\"" + std::string(classes) + "\"";
  return element + ">" + Markup(text) + "</" + std::string(tag) + ">\n";
}

std::string Base64(std::span<const std::byte> bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k) {
      word =
          word << 8 |
          (i + k < bytes.size() ? std::to_integer<uint32_t>(bytes[i + k]) : 0);
    }
    for (size_t k = 0; k < 4; ++k) {
      const bool padding = i + k > bytes.size();
      text += padding ? '=' : kDigits[word >> (18 - 6 * k) & 63];
    }
  }
  return text;
}

// How a policy names an inline element with this content. A policy that names
// none lets none run.
std::string HashSource(std::string_view content) {
  const absl::StatusOr<CryptoHash> hash = CryptoHash::Named("sha256");
  std::array<std::byte, 32> digest;
  if (!hash.ok() ||
      !hash->Digest(std::as_bytes(std::span(content)), digest).ok()) {
    return "'none'";
  }
  return "'sha256-" + Base64(digest) + "'";
}

std::string Policy(std::string_view style, std::string_view script) {
  return "default-src 'none'; base-uri 'none'; form-action 'none'; "
         "img-src data:; style-src " +
         HashSource(style) + "; script-src " + HashSource(script);
}

std::string_view BadgeOf(Severity severity) {
  switch (severity) {
    case Severity::kCorruption:
      return "badge bad";
    case Severity::kLeak:
      return "badge leak";
    default:
      return "badge";
  }
}

std::string Swatch(std::string_view classes) {
  return "<svg viewBox=\"0 0 13 13\" aria-hidden=\"true\"><rect width=\"13\" "
         "height=\"13\" class=\"" +
         std::string(classes) + "\"/></svg>";
}

std::string Facts(const CheckReport& report, std::time_t now) {
  const checker::ImageSummary& image = report.image;
  std::vector<std::string> facts;
  if (image.recognised) {
    facts.push_back("qcow2 version " + std::to_string(image.version));
    facts.push_back("disk " + HumanBytes(image.virtual_size_bytes));
    facts.push_back("clusters " + HumanBytes(image.cluster_size_bytes));
  }
  if (image.file_size_bytes > 0) {
    facts.push_back("file " + HumanBytes(image.file_size_bytes));
  }
  if (image.snapshots > 0) {
    facts.push_back(Counted(image.snapshots, "snapshot", "snapshots"));
  }
  if (image.bitmaps > 0) {
    facts.push_back(Counted(image.bitmaps, "bitmap", "bitmaps"));
  }
  if (!image.encryption.empty()) {
    facts.push_back("encrypted (" + image.encryption + ")");
  }
  if (!image.backing_file.empty()) {
    facts.push_back("backing file " + image.backing_file);
  }
  if (!image.data_file.empty()) {
    facts.push_back("data file " + image.data_file);
  }
  std::array<char, 64> when{};
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::strftime(when.data(), when.size(), "checked %Y-%m-%d %H:%M UTC", &parts);
  facts.emplace_back(when.data());
  std::string items;
  for (const std::string& fact : facts) items += Element("li", "", fact);
  return items;
}

std::string Errors(const ImageReport& report) {
  std::vector<std::string> errors = report.found.errors;
  if (report.transaction.has_value() && !report.transaction->error.ok()) {
    errors.emplace_back(report.transaction->error.message());
  }
  if (errors.empty()) return {};
  std::string section = "<section>\n<h2>What could not be done</h2>\n";
  for (const std::string& error : errors) {
    section += Element("p", "error-line", error);
  }
  return section + "</section>\n";
}

// Which part of the guest is hit.
std::string Hits(const Picture& picture) {
  if (picture.empty || picture.guest_size_bytes == 0) return {};
  std::string section =
      "<section aria-labelledby=\"hits-title\">\n<h2 id=\"hits-title\">What of "
      "the guest is hit</h2>\n<ul class=\"hits\">\n";
  for (const DamageLine& line : DescribePartitionDamage(picture)) {
    section += Element("li", line.hit ? "hit" : "", line.text);
  }
  section += "</ul>\n";
  for (const std::string& note : picture.partitions.notes) {
    section += Element("p", "note", note);
  }
  return section + "</section>\n";
}

std::string Limits(const Picture& picture) {
  std::string text;
  for (const std::string& limit : DescribeLimits(picture)) {
    text += Element("p", "note", limit);
  }
  return text;
}

std::string Legend(const Picture& picture) {
  std::string legend;
  for (const PaletteRow& row : Palette()) {
    const uint64_t clusters =
        picture.totals[static_cast<size_t>(row.cluster_class)];
    if (clusters == 0) continue;
    legend +=
        "<button type=\"button\" aria-pressed=\"false\" data-key=\"" +
        std::string(row.key) + "\">" + Swatch("c-" + std::string(row.key)) +
        Markup(checker::NameOf(row.cluster_class)) + " <b>" +
        HumanBytes(clusters * picture.cluster_size_bytes) + "</b></button>\n";
  }
  if (picture.overlapping_clusters > 0) {
    legend +=
        "<span class=\"entry\"><svg viewBox=\"0 0 13 13\" aria-hidden=\"true\" "
        "class=\"map\"><rect width=\"13\" height=\"13\" class=\"bad\"/><path "
        "class=\"lines\" d=\"M3 3l7 7m0 -7l-7 7\"/></svg>overlap</span>\n";
  }
  if (picture.damaged_clusters > 0) {
    legend +=
        "<span class=\"entry\"><svg viewBox=\"0 0 13 13\" aria-hidden=\"true\" "
        "class=\"map\"><path class=\"cross\" d=\"M1 1h11v11h-11zl11 11m0 "
        "-11l-11 11\"/></svg>damaged</span>\n";
  }
  if (std::any_of(picture.segments.begin(), picture.segments.end(),
                  [](const Segment& segment) {
                    return (segment.marks & kMarkSuspect) != 0;
                  })) {
    legend +=
        "<span class=\"entry\"><svg viewBox=\"0 0 13 13\" aria-hidden=\"true\" "
        "class=\"map\"><circle class=\"suspect\" cx=\"6.5\" cy=\"6.5\" "
        "r=\"4.5\"/></svg>perhaps left of guest data</span>\n";
  }
  return legend;
}

std::string Partitions(const Picture& picture) {
  const std::vector<GuestPartition>& partitions = picture.partitions.partitions;
  if (partitions.empty()) return {};
  std::string list = "<ul class=\"partitions\">\n";
  for (size_t i = 0; i < partitions.size(); ++i) {
    const bool hit = picture.partition_damage[i].bytes > 0;
    const std::string number = std::to_string(partitions[i].number);
    // The map does not reach those that begin behind the disk's end.
    const bool on_map = partitions[i].offset_bytes < picture.guest_size_bytes;
    list += "<li>" + Swatch("fill-" + std::to_string(i % kPartitionTints)) +
            (on_map ? "<button type=\"button\" data-partition=\"" +
                          std::to_string(i) + "\">" + number + "</button>"
                    : number) +
            " <span>" + Markup(partitions[i].description) + ", " +
            HumanBytes(partitions[i].length_bytes) + "</span>" +
            (hit ? " <span class=\"badge bad\">HIT</span>" : "") + "</li>\n";
  }
  if (picture.partitions.omitted > 0) {
    list += Element("li", "",
                    "and " + Counted(picture.partitions.omitted,
                                     "more partition", "more partitions"));
  }
  return list + "</ul>\n";
}

// Writes the findings, as many as there is room for.
class FindingsWriter {
 public:
  // `file_clusters` is what the map shows of the file, 0: there is no map.
  FindingsWriter(const ImageReport& report, uint64_t file_clusters)
      : report_(report), file_clusters_(file_clusters) {}

  std::string Write();

 private:
  std::string GroupSection(const FindingGroup& group,
                           const Consequences& consequences);
  std::string Item(const Finding& finding, const Consequences& consequences);
  std::string ShowButton(const Finding& finding) const;
  std::string Sentence(const Finding& finding, std::string_view code) const;

  const ImageReport& report_;
  const uint64_t file_clusters_;
  // Whether one more finding has room on the page.
  bool HasRoom(size_t section_bytes) const {
    return written_ < kMaxPageFindings &&
           bytes_ + section_bytes < kMaxFindingsBytes;
  }

  size_t written_ = 0;
  size_t bytes_ = 0;  // of the groups before
};

std::string FindingsWriter::ShowButton(const Finding& finding) const {
  if (!finding.host.has_value() || finding.host->clusters == 0 ||
      finding.host->first_cluster >= file_clusters_) {
    return {};
  }
  return "<button type=\"button\" data-cluster=\"" +
         std::to_string(finding.host->first_cluster) + "\" data-clusters=\"" +
         std::to_string(finding.host->clusters) + "\">show</button>";
}

std::string FindingsWriter::Sentence(const Finding& finding,
                                     std::string_view code) const {
  std::string sentence = "<span class=\"id\">#" + std::to_string(finding.id);
  if (!code.empty()) sentence += " " + Markup(code);
  sentence += "</span> " + Markup(DescribeFinding(finding));
  if (finding.suspect_orphan) {
    sentence += "; may be what is left of guest data, do not free it";
  }
  return sentence;
}

std::string FindingsWriter::Item(const Finding& finding,
                                 const Consequences& consequences) {
  ++written_;
  const ProblemRow& row = checker::RowOf(finding.problem);
  std::string item = "<li id=\"f" + std::to_string(finding.id) + "\" class=\"" +
                     std::string(NameOf(row.severity)) + "\">" +
                     Sentence(finding, "") + ShowButton(finding) + "\n";
  for (const checker::GuestRange& range : finding.guest) {
    item += Element("p", "detail", "guest: " + DescribeGuestRange(range));
  }
  if (finding.guest_ranges_omitted > 0) {
    item += Element("p", "detail",
                    "guest: and " + Counted(finding.guest_ranges_omitted,
                                            "more range", "more ranges"));
  }
  std::string owners;
  for (const std::string& name : checker::OwnerNames(finding.owners)) {
    owners += (owners.empty() ? "owners: " : ", ") + name;
  }
  if (!owners.empty()) item += Element("p", "detail", owners);
  const auto found = consequences.find(finding.id);
  if (found != consequences.end()) {
    const std::vector<const Finding*>& follow = found->second;
    const size_t shown = std::min(follow.size(), kMaxConsequences);
    item += "<p class=\"detail\">which causes:</p>\n<ol>\n";
    for (size_t i = 0; i < shown; ++i) {
      ++written_;
      item += "<li id=\"f" + std::to_string(follow[i]->id) + "\">" +
              Sentence(*follow[i], checker::RowOf(follow[i]->problem).code) +
              ShowButton(*follow[i]) + "</li>\n";
    }
    if (follow.size() > shown) {
      item += Element("li", "",
                      "and " + Counted(follow.size() - shown, "more finding",
                                       "more findings"));
    }
    item += "</ol>\n";
  }
  return item + "</li>\n";
}

std::string FindingsWriter::GroupSection(const FindingGroup& group,
                                         const Consequences& consequences) {
  const ProblemRow& row = *group.row;
  uint64_t occurrences = 0;
  for (const Finding* finding : group.findings) occurrences += finding->count;
  std::string section = "<article class=\"group\">\n<h3><span class=\"" +
                        std::string(BadgeOf(row.severity)) + "\">" +
                        Markup(NameOf(row.severity)) + "</span> " +
                        Markup(row.code) + " <small>" +
                        std::to_string(row.number);
  if (occurrences > 1) section += ", " + std::to_string(occurrences) + " times";
  section += "</small></h3>\n" + Element("p", "", row.meaning);
  const bool planned =
      report_.transaction.has_value() && !report_.transaction->plan.empty();
  if (!planned) {
    section += Element("p", "repair",
                       "A repair would do this: " + DescribeRepair(row) + ".");
  }
  section += "<ol>\n";
  for (const Finding* finding : group.findings) {
    if (!HasRoom(section.size())) break;
    section += Item(*finding, consequences);
  }
  return section + "</ol>\n</article>\n";
}

// In place of findings, if there are none.
std::string_view NothingFound(const CheckReport& found) {
  if (found.cancelled) {
    return "Nothing was found until the check was cancelled.";
  }
  switch (found.status) {
    case checker::CheckStatus::kError:
      return "Nothing is known about the image.";
    case checker::CheckStatus::kInconclusive:
      return "Nothing was found in what could be read.";
    case checker::CheckStatus::kClean:
      return "Nothing is wrong.";
    default:
      return "None is listed.";
  }
}

std::string FindingsWriter::Write() {
  const CheckReport& found = report_.found;
  const FindingArrangement arrangement = ArrangeFindings(found);
  std::string text;
  for (const FindingGroup& group : arrangement.groups) {
    text += GroupSection(group, arrangement.consequences);
    bytes_ = text.size();
  }
  if (text.empty()) text = Element("p", "", NothingFound(found));
  const size_t listed = found.problems.size() + found.warnings.size();
  const uint64_t omitted =
      found.problems_omitted + (listed > written_ ? listed - written_ : 0);
  if (omitted > 0) {
    text += Element("p", "note",
                    std::to_string(omitted) +
                        " more findings are not listed here; --report=FILE "
                        "with --max-problems lists all.");
  }
  return text;
}

// Markup() of a text about the program: no line is broken inside an option,
// between its dashes and its name.
std::string MarkupOfAdvice(std::string_view text) {
  std::string markup = Markup(text);
  for (size_t begin = markup.find("--"); begin != std::string::npos;) {
    const size_t end =
        std::min(markup.find_first_of(" ,;.()&", begin), markup.size());
    const std::string option = "<span class=\"option\">" +
                               markup.substr(begin, end - begin) + "</span>";
    markup.replace(begin, end - begin, option);
    begin = markup.find("--", begin + option.size());
  }
  return markup;
}

std::string Transaction(const ImageReport& report) {
  if (!report.transaction.has_value()) return {};
  std::string text = TransactionText(report);
  text.erase(0, text.find_first_not_of('\n'));
  if (text.empty()) return {};
  // Markup() shows control characters, so that lines are taken one by one.
  std::string lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines += Markup(std::string_view(text).substr(begin, end - begin)) + "\n";
    begin = end + 1;
  }
  return "<section aria-labelledby=\"repair-title\">\n<h2 "
         "id=\"repair-title\">The repair</h2>\n<pre>" +
         lines + "</pre>\n<h3>What to do</h3>\n" + "<p class=\"advice\">" +
         MarkupOfAdvice(AdviceInWords(report)) + "</p>\n</section>\n";
}

// The last part of a path.
std::string_view BaseName(std::string_view path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string_view::npos || slash + 1 == path.size()
             ? path
             : path.substr(slash + 1);
}

// Replaces every "{{name}}" of the template; values are not looked at again.
std::string FillIn(std::string_view text,
                   const std::map<std::string_view, std::string>& values) {
  std::string filled;
  while (true) {
    const size_t begin = text.find("{{");
    filled += text.substr(0, begin);
    if (begin == std::string_view::npos) return filled;
    const size_t end = text.find("}}", begin);
    filled += values.at(text.substr(begin + 2, end - begin - 2));
    text.remove_prefix(end + 2);
  }
}

}  // namespace

std::string HtmlPage(const ImageReport& report, const Picture& picture,
                     std::time_t now) {
  const CheckReport& found = report.found;
  const std::string style =
      PaletteStyle() + std::string(kSvgStyle) + std::string(kPageStyle);
  const std::string script(kPageScript);
  const std::string verdict = VerdictInWords(report);
  return FillIn(
      kPageTemplate,
      {{"policy", Markup(Policy(style, script))},
       {"title",
        Markup(std::string(BaseName(found.image.path)) + ": " + verdict)},
       {"style", style},
       {"status", std::string(NameOf(StatusOf(report)))},
       {"name", Markup(found.image.path)},
       {"verdict", Markup(verdict)},
       {"advice", report.transaction.has_value()
                      ? ""
                      : MarkupOfAdvice(AdviceInWords(report))},
       {"facts", Facts(found, now)},
       {"errors", Errors(report)},
       {"hits", Hits(picture)},
       {"limits", Limits(picture)},
       {"file_bar", FillIn(kZoomBar, {{"map", "the file"}})},
       {"guest_bar", FillIn(kZoomBar, {{"map", "the guest's disk"}})},
       {"file_size", HumanBytes(picture.file_size_bytes)},
       {"guest_size", HumanBytes(picture.guest_size_bytes)},
       {"legend", Legend(picture)},
       {"partitions", Partitions(picture)},
       {"svg", picture.empty ? "" : SvgElement(picture)},
       {"findings", FindingsWriter(report, picture.file_clusters).Write()},
       {"transaction", Transaction(report)},
       {"footer",
        Markup(std::string(kToolName) + " " + std::string(kToolVersion) +
               ". This page needs no network.")},
       {"data", PageData(picture, found)},
       {"script", script}});
}

}  // namespace qcow2::cli
