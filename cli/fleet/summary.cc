#include "cli/fleet/summary.h"

#include <algorithm>
#include <span>
#include <tuple>
#include <utility>

#include "checker/printable.h"
#include "cli/exit_code.h"
#include "cli/units.h"
#include "cli/version.h"

namespace qcow2::cli {
namespace {

// What has to be looked at first: data at risk, then what could not be checked.
int Urgency(ImageStatus status) {
  switch (status) {
    case ImageStatus::kCorrupt:
      return 4;
    case ImageStatus::kPartiallyRepaired:
    case ImageStatus::kInconclusive:
      return 3;
    case ImageStatus::kError:
      return 2;
    case ImageStatus::kLeaks:
      return 1;
    case ImageStatus::kClean:
    case ImageStatus::kRepaired:
      break;
  }
  return 0;
}

// The path makes the order the same whoever was checked first.
bool IsWorse(const DamagedImage& a, const DamagedImage& b) {
  const auto rank = [](const DamagedImage& image) {
    return std::tuple(Urgency(image.status), image.overlays, image.corruptions,
                      image.leaks);
  };
  return rank(a) != rank(b) ? rank(a) > rank(b) : a.path < b.path;
}

std::string WhyLeft(FleetEnd end) {
  switch (end) {
    case FleetEnd::kTimeBudget:
      return " left for the next run: the time is up.\n";
    case FleetEnd::kCancelled:
      return " left for the next run: this one was cancelled.\n";
    case FleetEnd::kComplete:
      break;
  }
  return " left.\n";
}

std::string Totals(const FleetSummary& summary) {
  if (summary.corruptions == 0 && summary.leaks == 0) return {};
  std::string text = "Together " +
                     Counted(summary.corruptions, "corruption", "corruptions") +
                     " and " + Counted(summary.leaks, "leak", "leaks");
  if (summary.leaks > 0) text += " (" + HumanBytes(summary.leaked_bytes) + ")";
  if (summary.suspect_orphans > 0) {
    text += ", " + std::to_string(summary.suspect_orphans) +
            " of them what may be left of guest data";
  }
  return text + ".\n";
}

std::string DamagedLine(const DamagedImage& image) {
  std::string text = "  " + checker::Printable(image.path) + ": ";
  text += NameOf(image.status);
  if (image.corruptions > 0) {
    text += ", " + Counted(image.corruptions, "corruption", "corruptions");
  }
  if (image.leaks > 0) text += ", " + Counted(image.leaks, "leak", "leaks");
  if (image.overlays > 0) {
    text +=
        "; " + Counted(image.overlays, "image lies", "images lie") + " on it";
  }
  return text + "\n";
}

std::string DamagedList(const FleetSummary& summary) {
  if (summary.damaged.empty()) return {};
  std::string text = "To look at, the worst first:\n";
  for (const DamagedImage& image : summary.damaged) text += DamagedLine(image);
  if (summary.damaged_omitted > 0) {
    text += "  and " + std::to_string(summary.damaged_omitted) + " more\n";
  }
  return text;
}

std::string Remarks(const FleetSummary& summary) {
  std::string text;
  if (summary.earlier > 0) {
    text += Counted(summary.earlier, "image was", "images were") +
            " checked earlier in this round.\n";
  }
  if (summary.left > 0) {
    text +=
        Counted(summary.left, "image is", "images are") + WhyLeft(summary.end);
  }
  if (summary.other_names > 0) {
    text += Counted(summary.other_names, "more name", "more names") +
            " of the same files left out.\n";
  }
  if (summary.doubtful > 0) {
    text += Counted(summary.doubtful, "file looks", "files look") +
            " like an image but are none; not checked.\n";
  }
  for (const std::string& error : summary.errors) {
    text += "Could not do: " + checker::Printable(error) + "\n";
  }
  return text;
}

void AddChange(const ImageChange& change, FleetSummary& summary) {
  if (!summary.change.has_value()) summary.change.emplace();
  FleetChange& sum = *summary.change;
  if (change.any()) ++sum.images;
  sum.new_findings += change.problems.size() + change.warnings.size();
  sum.new_corruptions += change.new_corruptions;
  sum.new_leaks += change.new_leaks;
  sum.gone_findings += change.gone.size();
}

std::string ChangeLines(const FleetSummary& summary) {
  if (!summary.change.has_value()) return {};
  const FleetChange& change = *summary.change;
  std::string text = "Since the baseline ";
  text += change.images == 0
              ? "nothing is new and nothing is gone"
              : Counted(change.new_findings, "finding", "findings") +
                    " new and " + std::to_string(change.gone_findings) +
                    " gone, in " + Counted(change.images, "image", "images");
  text += ".\n";
  for (const std::string& path : change.missing) {
    text += "  not there any more: " + checker::Printable(path) + "\n";
  }
  if (change.missing_omitted > 0) {
    text += "  and " + std::to_string(change.missing_omitted) + " more\n";
  }
  return text;
}

Json ChangeJson(const FleetChange& change) {
  Json json;
  json["images"] = change.images;
  json["new_findings"] = change.new_findings;
  json["new_corruptions"] = change.new_corruptions;
  json["new_leaks"] = change.new_leaks;
  json["gone_findings"] = change.gone_findings;
  json["missing"] = change.missing;
  json["missing_omitted"] = change.missing_omitted;
  return json;
}

Json DamagedJson(const std::vector<DamagedImage>& damaged) {
  Json json = Json::array();
  for (const DamagedImage& image : damaged) {
    Json entry;
    entry["path"] = image.path;
    entry["status"] = NameOf(image.status);
    entry["exit_code"] = image.exit_code;
    entry["corruptions"] = image.corruptions;
    entry["leaks"] = image.leaks;
    entry["overlays"] = image.overlays;
    json.push_back(std::move(entry));
  }
  return json;
}

Json NumbersJson(const FleetSummary& summary,
                 std::span<const SummaryNumber> numbers) {
  Json json;
  for (const auto& [name, number] : numbers) json[name] = summary.*number;
  return json;
}

Json StatusesJson(const FleetSummary& summary) {
  Json json;
  for (size_t i = 0; i < summary.by_status.size(); ++i) {
    json[std::string(NameOf(static_cast<ImageStatus>(i)))] =
        summary.by_status[i];
  }
  return json;
}

}  // namespace

std::string_view NameOf(FleetEnd end) {
  switch (end) {
    case FleetEnd::kComplete:
      return "complete";
    case FleetEnd::kTimeBudget:
      return "time-budget";
    case FleetEnd::kCancelled:
      break;
  }
  return "cancelled";
}

void ListDamaged(DamagedImage image, FleetSummary& summary) {
  std::vector<DamagedImage>& list = summary.damaged;
  list.insert(std::ranges::upper_bound(list, image, IsWorse), std::move(image));
  if (list.size() <= kMaxDamagedListed) return;
  list.pop_back();
  ++summary.damaged_omitted;
}

void AddToSummary(const ImageReport& report, uint64_t overlays,
                  FleetSummary& summary) {
  const checker::Counts& counts = Now(report).counts;
  const ImageStatus status = StatusOf(report);
  ++summary.checked;
  summary.exit_code |= ExitCodeOf(report);
  ++summary.by_status[static_cast<size_t>(status)];
  summary.corruptions += counts.corruptions;
  summary.leaks += counts.leaks;
  summary.leaked_bytes += LeakedBytes(report);
  summary.warnings += counts.warnings;
  summary.suspect_orphans += counts.suspect_orphans;
  summary.unreadable_bytes += counts.unreadable_bytes;
  if (report.change.has_value()) {
    AddChange(*report.change, summary);
    if (report.change->exit_code == kExitClean) return;
  }
  if (Urgency(status) == 0) return;
  ListDamaged({Now(report).image.path, status, ExitCodeOf(report),
               counts.corruptions, counts.leaks, overlays},
              summary);
}

std::string SummaryText(const FleetSummary& summary) {
  std::string text = "\n" + std::to_string(summary.checked) + " of " +
                     std::to_string(summary.found) +
                     (summary.found == 1 ? " image" : " images") +
                     " checked in " + HumanSeconds(summary.seconds) +
                     (summary.checked == 0 ? "" : ": ") +
                     StatusesInWords(summary.by_status) + ".\n";
  text += Remarks(summary) + ChangeLines(summary) + Totals(summary) +
          DamagedList(summary);
  const bool only_old =
      summary.change.has_value() && summary.exit_code == kExitClean;
  return text + "Exit code " + std::to_string(summary.exit_code) + ": " +
         (only_old ? "nothing new is wrong"
                   : DescribeExitCode(summary.exit_code)) +
         ".\n";
}

std::string SummaryJson(const FleetSummary& summary, JsonLayout layout) {
  Json body;
  body["end"] = NameOf(summary.end);
  body["exit_code"] = summary.exit_code;
  body["images"] = NumbersJson(summary, kImageNumbers);
  body["by_status"] = StatusesJson(summary);
  body["counts"] = NumbersJson(summary, kCountNumbers);
  body["damaged"] = DamagedJson(summary.damaged);
  body["damaged_omitted"] = summary.damaged_omitted;
  if (summary.change) body["change"] = ChangeJson(*summary.change);
  body["seconds"] = summary.seconds;
  body["errors"] = summary.errors;
  Json json;
  json["schema_version"] = kSchemaVersion;
  json["tool"] = {{"name", kToolName}, {"version", kToolVersion}};
  json["summary"] = std::move(body);
  return json.dump(layout == JsonLayout::kIndented ? 2 : -1, ' ', false,
                   Json::error_handler_t::replace);
}

}  // namespace qcow2::cli
