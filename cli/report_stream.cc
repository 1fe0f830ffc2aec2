#include "cli/report_stream.h"

#include "cli/exit_code.h"
#include "cli/human_printer.h"
#include "cli/json_printer.h"
#include "cli/units.h"

namespace qcow2::cli {

std::string ReportStream::Add(const ImageReport& report) {
  const bool first = added_++ == 0;
  exit_code_ |= ExitCodeOf(report);
  ++by_status_[static_cast<size_t>(StatusOf(report))];
  switch (format_) {
    case OutputFormat::kHuman:
      return (first ? "" : "\n") + HumanReport(report);
    case OutputFormat::kNdjson:
      return JsonReport(report, JsonLayout::kOneLine) + "\n";
    case OutputFormat::kJson:
      break;
  }
  const std::string json = JsonReport(report, JsonLayout::kIndented);
  if (images_ == 1) return json + "\n";
  return (first ? "[\n" : ",\n") + json;
}

std::string ReportStream::End() {
  if (images_ == 1) return {};
  if (format_ == OutputFormat::kHuman) return Summary();
  if (format_ == OutputFormat::kJson) return added_ == 0 ? "[]\n" : "\n]\n";
  return {};
}

std::string ReportStream::Summary() const {
  std::string text = "\n" + std::to_string(added_) + " of " +
                     Counted(images_, "image", "images") + " looked at";
  const char* separator = ": ";
  for (size_t i = 0; i < by_status_.size(); ++i) {
    if (by_status_[i] == 0) continue;
    text += separator + std::to_string(by_status_[i]) + " ";
    text += NameOf(static_cast<ImageStatus>(i));
    separator = ", ";
  }
  return text + ".\nExit code " + std::to_string(exit_code_) + ": " +
         DescribeExitCode(exit_code_) + ".\n";
}

}  // namespace qcow2::cli
