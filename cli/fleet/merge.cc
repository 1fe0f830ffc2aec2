#include "cli/fleet/merge.h"

#include <cstddef>
#include <map>
#include <string>
#include <utility>

#include "checker/printable.h"
#include "cli/exit_code.h"
#include "cli/finding_place.h"
#include "cli/fleet/report_reader.h"
#include "cli/fleet/summary.h"
#include "cli/fleet/summary_merge.h"
#include "cli/json_values.h"
#include "cli/output_file.h"
#include "cli/word_wrap.h"
#include "engine/status_macros.h"

namespace qcow2::cli {
namespace {

// What people need to find the image in the report of its own run.
std::string HumanText(const Json& report) {
  const std::string status = TextAt(report, "status");
  if (status == NameOf(ImageStatus::kClean)) return {};
  std::string text = "\n" +
                     checker::Printable(TextAt(report["image"], "path")) +
                     ": " + checker::Printable(status) + "\n";
  for (const char* list : {"problems", "errors"}) {
    const auto entries = report.find(list);
    if (entries == report.end() || !entries->is_array()) continue;
    for (const Json& entry : *entries) {
      text += Wrap(
          checker::Printable(entry.is_string() ? entry.get<std::string>()
                                               : TextAt(entry, "code") + ": " +
                                                     TextAt(entry, "message")),
          2, 4);
    }
  }
  return text;
}

class Merger {
 public:
  Merger(OutputFormat format, const Surroundings& surroundings)
      : format_(format), surroundings_(surroundings) {}

  void AddFile(const std::string& path) {
    ++file_;
    bool summarised = false;
    const absl::StatusOr<bool> whole = ReadReports(path, [&](const Json& json) {
      if (json.contains("summary")) {
        MergeSummary(json["summary"], summary_);
        summarised = true;
      } else {
        AddReport(json);
      }
    });
    if (!whole.ok()) {
      Fail(std::string(whole.status().message()));
    } else if (!*whole || !summarised) {
      Fail("'" + path + "' has no summary: it was cut short");
    }
  }

  int End() {
    if (format_ == OutputFormat::kHuman) {
      Print(SummaryText(summary_));
    } else if (format_ == OutputFormat::kNdjson) {
      Print(SummaryJson(summary_, JsonLayout::kOneLine) + "\n");
    } else {
      Print(Separator() + SummaryJson(summary_, JsonLayout::kIndented) +
            "\n]\n");
    }
    if (printed_.ok()) return summary_.exit_code;
    Complain(surroundings_, printed_);
    return summary_.exit_code | kExitOperationalError;
  }

 private:
  std::string Separator() {
    return std::exchange(begun_, true) ? ",\n" : "[\n";
  }

  void AddReport(const Json& report) {
    const std::string path = TextAt(report["image"], "path");
    // Several names that are no UTF-8 may be told as the same.
    const bool other = paths_.emplace(path, file_).first->second != file_;
    if (other && IsWholeInJson(path)) {
      Fail("'" + path + "' is in two reports");
      return;
    }
    constexpr auto kReplace = Json::error_handler_t::replace;
    if (format_ == OutputFormat::kHuman) {
      Print(HumanText(report));
    } else if (format_ == OutputFormat::kNdjson) {
      Print(report.dump(-1, ' ', false, kReplace) + "\n");
    } else {
      Print(Separator() + report.dump(2, ' ', false, kReplace));
    }
  }

  void Fail(std::string what) {
    Complain(surroundings_, what);
    summary_.exit_code |= kExitOperationalError;
    summary_.errors.push_back(std::move(what));
  }

  void Print(const std::string& text) {
    if (!printed_.ok()) return;
    printed_ = WriteAll(surroundings_.standard_output, text, "standard output");
  }

  const OutputFormat format_;
  const Surroundings& surroundings_;
  FleetSummary summary_;
  std::map<std::string, size_t> paths_;  // with the number of their file
  size_t file_ = 0;
  bool begun_ = false;
  absl::Status printed_;
};

}  // namespace

int Merge(const Options& options, const Surroundings& surroundings) {
  Merger merger(options.output, surroundings);
  for (const std::string& path : options.images) merger.AddFile(path);
  return merger.End();
}

}  // namespace qcow2::cli
