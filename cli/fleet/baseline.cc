#include "cli/fleet/baseline.h"

#include <algorithm>
#include <utility>

#include "cli/exit_code.h"
#include "cli/finding_place.h"
#include "cli/fleet/ranges.h"
#include "cli/fleet/report_reader.h"

namespace qcow2::cli {
namespace {

using checker::Finding;
using checker::Severity;

// The part of `finding` from `part.first` on.
Finding Clipped(const Finding& finding, const FindingPlace& place,
                const CountedRange& part) {
  if (part.first == place.first && part.count == place.count) return finding;
  Finding clipped = finding;
  const uint64_t skipped = part.first - place.first;
  clipped.count = part.count;
  if (clipped.location.index) *clipped.location.index += skipped;
  if (clipped.host && clipped.host->clusters == finding.count &&
      clipped.host->first_cluster != 0) {
    checker::HostRun& host = *clipped.host;
    const uint64_t cluster_size = host.offset_bytes / host.first_cluster;
    host.first_cluster += skipped;
    host.offset_bytes += skipped * cluster_size;
    host.clusters = part.count;
  }
  // Which of several ranges belong to the part is not known.
  if (finding.guest.size() == 1 &&
      finding.guest[0].length_bytes % finding.count == 0) {
    const uint64_t each = finding.guest[0].length_bytes / finding.count;
    clipped.guest[0].offset_bytes += skipped * each;
    clipped.guest[0].length_bytes = part.count * each;
  }
  return clipped;
}

// What of a finding's report tells its place.
Json PlaceJson(const Json& finding) {
  Json place;
  for (const char* key : {"location", "host"}) {
    if (finding.contains(key)) place[key] = finding[key];
  }
  return place;
}

bool Failed(int exit_code) { return (exit_code & kExitOperationalError) != 0; }

bool HasNoVerdict(int exit_code) {
  return (exit_code & (kExitOperationalError | kExitCancelled)) != 0;
}

void CountNew(const Finding& finding, ImageChange& change) {
  const Severity severity = checker::RowOf(finding.problem).severity;
  if (severity == Severity::kCorruption)
    change.new_corruptions += finding.count;
  if (severity == Severity::kLeak) change.new_leaks += finding.count;
}

}  // namespace

absl::Status Baseline::Read(const std::string& path) {
  return ReadReports(path,
                     [this](const Json& report) {
                       if (report.contains("image")) Add(report);
                     })
      .status();
}

void Baseline::AddRun(const Json& finding, KnownImage& image) {
  if (!finding.is_object()) return;
  FindingPlace place = PlaceOf(finding);
  image.runs[std::move(place.kind)].push_back(
      {place.first,
       place.count,
       {TextAt(finding, "code"), TextAt(finding, "severity"),
        TextAt(finding, "message"), place.count},
       PlaceJson(finding).dump(-1, ' ', false,
                               Json::error_handler_t::replace)});
}

void Baseline::AddRuns(const Json& report, const char* list,
                       KnownImage& image) {
  const auto findings = report.find(list);
  if (findings == report.end() || !findings->is_array()) return;
  for (const Json& finding : *findings) AddRun(finding, image);
}

Baseline::KnownImage Baseline::KnownOf(const Json& json) {
  KnownImage known;
  AddRuns(json, "findings", known);
  known.corruptions = NumberAt(json, "corruptions");
  known.leaks = NumberAt(json, "leaks");
  known.all_listed = json.value("all_listed", Json(true)) == true;
  return known;
}

void Baseline::AddKnown(const KnownImage& known, KnownImage& image) {
  for (const auto& [kind, runs] : known.runs) {
    std::vector<KnownRun>& all = image.runs[kind];
    all.insert(all.end(), runs.begin(), runs.end());
  }
  image.corruptions = std::max(image.corruptions, known.corruptions);
  image.leaks = std::max(image.leaks, known.leaks);
  image.all_listed = image.all_listed && known.all_listed;
}

void Baseline::Add(const Json& report) {
  KnownImage image;
  for (const char* list : {"problems", "warnings"}) {
    AddRuns(report, list, image);
  }
  const Json counts = report.value("counts", Json::object());
  image.corruptions = NumberAt(counts, "corruptions");
  image.leaks = NumberAt(counts, "leaks");
  image.exit_code = static_cast<int>(NumberAt(report, "exit_code") & 63);
  image.all_listed = NumberAt(report, "problems_omitted") == 0;
  const Json known = report.value("known", Json::object());
  if (known.is_object()) AddKnown(KnownOf(known), image);
  KnownImage& entry =
      images_[TextAt(report.value("image", Json::object()), "path")];
  if (HasNoVerdict(image.exit_code)) AddKnown(entry, image);
  entry = std::move(image);
}

std::vector<CountedRange> Baseline::RangesOf(const KnownImage& image,
                                             const std::string& kind) {
  std::vector<CountedRange> ranges;
  const auto runs = image.runs.find(kind);
  if (runs == image.runs.end()) return ranges;
  for (const KnownRun& run : runs->second) {
    ranges.push_back({run.first, run.count});
  }
  return ranges;
}

std::vector<Finding> Baseline::NewOf(const std::vector<Finding>& findings,
                                     const KnownImage& known) {
  std::vector<Finding> news;
  for (const Finding& finding : findings) {
    const FindingPlace place = PlaceOf(finding);
    for (const CountedRange& part :
         Without({place.first, place.count}, RangesOf(known, place.kind))) {
      news.push_back(Clipped(finding, place, part));
    }
  }
  return news;
}

Baseline::Places Baseline::PlacesOf(const checker::CheckReport& found) {
  Places places;
  for (const auto* list : {&found.problems, &found.warnings}) {
    for (const Finding& finding : *list) {
      const FindingPlace place = PlaceOf(finding);
      places[place.kind].push_back({place.first, place.count});
    }
  }
  return places;
}

std::vector<GoneFinding> Baseline::GoneOf(const checker::CheckReport& found,
                                          const KnownImage& known) {
  Places now = PlacesOf(found);
  std::vector<GoneFinding> gone;
  for (const auto& [kind, runs] : known.runs) {
    for (const KnownRun& run : runs) {
      uint64_t count = 0;
      for (const CountedRange& part :
           Without({run.first, run.count}, now[kind])) {
        count += part.count;
      }
      if (count == 0) continue;
      gone.push_back(run.description);
      gone.back().count = count;
    }
  }
  return gone;
}

ImageChange Baseline::Compare(const ImageReport& report) const {
  const checker::CheckReport& found = report.found;
  const auto entry = images_.find(AsInJson(found.image.path));
  const KnownImage nothing;
  const KnownImage& known = entry == images_.end() ? nothing : entry->second;
  const bool more = found.counts.corruptions > known.corruptions ||
                    found.counts.leaks > known.leaks;
  ImageChange change;
  // Where not all was listed, what is not in the list may have been there.
  if (known.all_listed || more) {
    change.problems = NewOf(found.problems, known);
    change.warnings = NewOf(found.warnings, known);
  }
  for (const Finding& finding : change.problems) CountNew(finding, change);
  const int exit_code = ExitCodeOf(found);
  // What was not listed now, or could not be looked at, is not gone.
  if (!Failed(exit_code) && found.problems_omitted == 0 && !found.cancelled) {
    change.gone = GoneOf(found, known);
  }
  const bool unlisted_news = found.problems_omitted > 0 && more;
  if (!change.problems.empty() || unlisted_news) {
    change.exit_code |= kExitErrorsLeft;
  }
  change.newly_failed = Failed(exit_code) && !Failed(known.exit_code);
  if (change.newly_failed) change.exit_code |= kExitOperationalError;
  if (found.cancelled) change.exit_code = kExitCancelled;
  return change;
}

std::string Baseline::StillKnown(const checker::CheckReport& found) const {
  const bool verdict = !HasNoVerdict(ExitCodeOf(found));
  const auto entry = images_.find(AsInJson(found.image.path));
  if (verdict || entry == images_.end()) return {};
  const KnownImage& image = entry->second;
  Json findings = Json::array();
  Places told = PlacesOf(found);
  for (const auto& [kind, runs] : image.runs) {
    for (const KnownRun& run : runs) {
      if (Without({run.first, run.count}, told[kind]).empty()) continue;
      told[kind].push_back({run.first, run.count});
      Json finding = Json::parse(run.place);
      finding["code"] = run.description.code;
      finding["severity"] = run.description.severity;
      finding["message"] = run.description.message;
      finding["count"] = run.count;
      findings.push_back(std::move(finding));
    }
  }
  if (findings.empty() && image.corruptions == 0 && image.leaks == 0) return {};
  Json known;
  known["corruptions"] = image.corruptions;
  known["leaks"] = image.leaks;
  known["all_listed"] = image.all_listed;
  known["findings"] = std::move(findings);
  return known.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<std::string> Baseline::Images() const {
  std::vector<std::string> paths;
  for (const auto& [path, image] : images_) paths.push_back(path);
  return paths;
}

}  // namespace qcow2::cli
