// Findings in words: the place, and the row's message with its blanks filled.
// Every text that comes from the image is made printable.
#include <string>
#include <string_view>

#include "checker/finding.h"
#include "checker/printable.h"

namespace qcow2::checker {
namespace {

// How a run of entries or clusters is put: as the run ("entries 12-19"), or as
// its first one, for sentences whose verb is in the singular.
enum class Form { kRun, kFirst };

std::string Number(const std::optional<uint64_t>& value, bool hexadecimal) {
  if (!value) return "an unknown value";
  return hexadecimal ? Hex(*value) : std::to_string(*value);
}

// "1 reference", "2 references".
std::string References(const std::optional<uint64_t>& count) {
  return Number(count, false) + (count == 1 ? " reference" : " references");
}

// "entry 7", "entries 7-9" or "entry 7 (of 7-9)"; `plural` names more.
std::string Run(std::string_view singular, std::string_view plural,
                uint64_t first, uint64_t count, Form form) {
  const std::string begin = std::to_string(first);
  if (count <= 1) return std::string(singular) + " " + begin;
  const std::string range = begin + "-" + std::to_string(first + (count - 1));
  if (form == Form::kRun) return std::string(plural) + " " + range;
  return std::string(singular) + " " + begin + " (of " + range + ")";
}

std::string WhereHost(const HostRun& host, Form form) {
  return Run("host cluster", "host clusters", host.first_cluster, host.clusters,
             form) +
         " (offset " + Hex(host.offset_bytes) + ")";
}

std::string Quoted(std::string_view name) {
  return "\"" + Printable(name) + "\"";
}

// What an index of this structure counts.
std::string_view IndexNoun(Structure structure) {
  switch (structure) {
    case Structure::kLuksHeader:
      return "key slot";
    case Structure::kBitmapData:
      return "cluster";
    default:
      return "entry";
  }
}

std::string_view IndexNounPlural(Structure structure) {
  switch (structure) {
    case Structure::kLuksHeader:
      return "key slots";
    case Structure::kBitmapData:
      return "clusters";
    default:
      return "entries";
  }
}

std::string Where(const Finding& finding, Form form) {
  const Location& location = finding.location;
  if (location.structure == Structure::kHostCluster && finding.host) {
    return WhereHost(*finding.host, form);
  }
  std::string text(NameOf(location.structure));
  if (location.table_offset) text += " at " + Hex(*location.table_offset);
  // Within the snapshot table the name belongs to the entry, elsewhere to the
  // table.
  const bool names_entry = location.structure == Structure::kSnapshotTable;
  const std::string snapshot =
      location.snapshot.empty() ? "" : "snapshot " + Quoted(location.snapshot);
  if (!snapshot.empty() && !names_entry) text += " of " + snapshot;
  if (location.index) {
    text += ", " + Run(IndexNoun(location.structure),
                       IndexNounPlural(location.structure), *location.index,
                       finding.count, form);
  }
  if (!snapshot.empty() && names_entry) text += " (" + snapshot + ")";
  if (!location.field.empty()) text += ", " + Printable(location.field);
  return text;
}

// The text for one blank; `colon_follows` tells how {where} goes on.
std::string Fill(std::string_view blank, const Finding& finding,
                 bool colon_follows) {
  if (blank == "where") {
    return Where(finding, colon_follows ? Form::kRun : Form::kFirst);
  }
  if (blank == "actual") return Number(finding.actual, false);
  if (blank == "actual:x") return Number(finding.actual, true);
  if (blank == "expected") return Number(finding.expected, false);
  if (blank == "expected:x") return Number(finding.expected, true);
  if (blank == "actual:references") return References(finding.actual);
  if (blank == "expected:references") return References(finding.expected);
  return Printable(finding.detail);
}

}  // namespace

std::string DescribeWhere(const Finding& finding) {
  return Where(finding, Form::kRun);
}

std::string DescribeFinding(const Finding& finding) {
  std::string_view rest = RowOf(finding.problem).message;
  std::string text;
  for (size_t open = rest.find('{'); open != std::string_view::npos;
       open = rest.find('{')) {
    const size_t close = rest.find('}', open);
    text += rest.substr(0, open);
    const std::string_view blank = rest.substr(open + 1, close - open - 1);
    rest.remove_prefix(close + 1);
    text += Fill(blank, finding, rest.starts_with(':'));
  }
  return text.append(rest);
}

}  // namespace qcow2::checker
