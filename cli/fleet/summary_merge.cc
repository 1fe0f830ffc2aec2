#include "cli/fleet/summary_merge.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "cli/exit_code.h"

namespace qcow2::cli {
namespace {

constexpr int kAllExitCodes = 63;

// The texts in the array at `key`.
std::vector<std::string> TextsAt(const Json& json, const char* key) {
  std::vector<std::string> texts;
  const auto found = json.find(key);
  if (found == json.end() || !found->is_array()) return texts;
  for (const Json& text : *found) {
    if (text.is_string()) texts.push_back(text.get<std::string>());
  }
  return texts;
}

Json PartAt(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() ? *found : Json();
}

int ExitCodeAt(const Json& json) {
  return static_cast<int>(NumberAt(json, "exit_code")) & kAllExitCodes;
}

ImageStatus StatusNamed(const std::string& name) {
  for (int i = 0; i < static_cast<int>(ImageStatus::kError); ++i) {
    if (name == NameOf(static_cast<ImageStatus>(i))) {
      return static_cast<ImageStatus>(i);
    }
  }
  return ImageStatus::kError;
}

FleetEnd EndNamed(const std::string& name) {
  for (const FleetEnd end : {FleetEnd::kComplete, FleetEnd::kTimeBudget}) {
    if (name == NameOf(end)) return end;
  }
  return FleetEnd::kCancelled;
}

void MergeNumbers(const Json& json, std::span<const SummaryNumber> numbers,
                  FleetSummary& summary) {
  for (const auto& [name, number] : numbers) {
    summary.*number += NumberAt(json, name);
  }
}

void MergeDamaged(const Json& json, FleetSummary& summary) {
  summary.damaged_omitted += NumberAt(json, "damaged_omitted");
  const Json damaged = PartAt(json, "damaged");
  if (!damaged.is_array()) return;
  for (const Json& image : damaged) {
    ListDamaged({TextAt(image, "path"), StatusNamed(TextAt(image, "status")),
                 ExitCodeAt(image), NumberAt(image, "corruptions"),
                 NumberAt(image, "leaks"), NumberAt(image, "overlays")},
                summary);
  }
}

void MergeChange(const Json& json, FleetSummary& summary) {
  if (!json.is_object()) return;
  if (!summary.change.has_value()) summary.change.emplace();
  FleetChange& change = *summary.change;
  change.images += NumberAt(json, "images");
  change.new_findings += NumberAt(json, "new_findings");
  change.new_corruptions += NumberAt(json, "new_corruptions");
  change.new_leaks += NumberAt(json, "new_leaks");
  change.gone_findings += NumberAt(json, "gone_findings");
  change.missing_omitted += NumberAt(json, "missing_omitted");
  for (std::string& path : TextsAt(json, "missing")) {
    if (change.missing.size() < kMaxMissingListed) {
      change.missing.push_back(std::move(path));
    } else {
      ++change.missing_omitted;
    }
  }
}

}  // namespace

void MergeSummary(const Json& json, FleetSummary& summary) {
  summary.end = std::max(summary.end, EndNamed(TextAt(json, "end")));
  summary.exit_code |= ExitCodeAt(json);
  MergeNumbers(PartAt(json, "images"), kImageNumbers, summary);
  MergeNumbers(PartAt(json, "counts"), kCountNumbers, summary);
  const Json by_status = PartAt(json, "by_status");
  for (size_t i = 0; i < summary.by_status.size(); ++i) {
    const std::string name(NameOf(static_cast<ImageStatus>(i)));
    summary.by_status[i] += NumberAt(by_status, name.c_str());
  }
  MergeDamaged(json, summary);
  MergeChange(PartAt(json, "change"), summary);
  const Json seconds = PartAt(json, "seconds");
  if (seconds.is_number()) {
    summary.seconds = std::max(summary.seconds, seconds.get<double>());
  }
  // A folder that cannot be read is met by every shard.
  for (std::string& error : TextsAt(json, "errors")) {
    if (std::ranges::find(summary.errors, error) == summary.errors.end()) {
      summary.errors.push_back(std::move(error));
    }
  }
}

}  // namespace qcow2::cli
