#include "cli/report_stream.h"

#include "cli/exit_code.h"
#include "cli/human_printer.h"
#include "cli/json_printer.h"
#include "cli/units.h"

namespace qcow2::cli {

std::string ReportStream::Separator(bool is_first) const {
  switch (format_) {
    case OutputFormat::kHuman:
      return is_first ? "" : "\n";
    case OutputFormat::kNdjson:
      return {};
    case OutputFormat::kJson:
      break;
  }
  if (shape_ == StreamShape::kOneImage) return {};
  return is_first ? "[\n" : ",\n";
}

std::string ReportStream::Add(const ImageReport& report) {
  const ImageStatus status = StatusOf(report);
  ++added_;
  exit_code_ |= ExitCodeOf(report);
  ++by_status_[static_cast<size_t>(status)];
  if (report.change.has_value() && !report.change->any()) return {};
  const bool human = format_ == OutputFormat::kHuman;
  if (human && shape_ == StreamShape::kFleet && status == ImageStatus::kClean &&
      !report.change.has_value()) {
    return {};
  }
  std::string text = Separator(!printed_);
  printed_ = true;
  if (human) return text + HumanReport(report);
  const bool one_line = format_ == OutputFormat::kNdjson;
  text += JsonReport(report,
                     one_line ? JsonLayout::kOneLine : JsonLayout::kIndented);
  if (one_line || shape_ == StreamShape::kOneImage) text += "\n";
  return text;
}

std::string ReportStream::End(const FleetSummary* summary) {
  if (shape_ == StreamShape::kOneImage) return {};
  switch (format_) {
    case OutputFormat::kHuman:
      if (summary != nullptr) return SummaryText(*summary);
      return shape_ == StreamShape::kList ? Summary() : "";
    case OutputFormat::kNdjson:
      if (summary == nullptr) return {};
      return SummaryJson(*summary, JsonLayout::kOneLine) + "\n";
    case OutputFormat::kJson:
      break;
  }
  if (summary != nullptr) {
    return Separator(!printed_) + SummaryJson(*summary, JsonLayout::kIndented) +
           "\n]\n";
  }
  return printed_ ? "\n]\n" : "[]\n";
}

std::string ReportStream::Summary() const {
  return "\n" + std::to_string(added_) + " of " +
         Counted(images_, "image", "images") + " looked at" +
         (added_ == 0 ? "" : ": ") + StatusesInWords(by_status_) +
         ".\nExit code " + std::to_string(exit_code_) + ": " +
         DescribeExitCode(exit_code_) + ".\n";
}

}  // namespace qcow2::cli
