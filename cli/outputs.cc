#include "cli/outputs.h"

#include <ctime>
#include <utility>

#include "engine/status_macros.h"

namespace qcow2::cli {
namespace {

StreamShape ShapeOf(const Options& options) {
  if (options.fleet.any()) return StreamShape::kFleet;
  return options.images.size() == 1 ? StreamShape::kOneImage
                                    : StreamShape::kList;
}

absl::Status OpenFile(const std::string& path,
                      std::optional<OutputFile>& file) {
  if (path.empty()) return absl::OkStatus();
  absl::StatusOr<OutputFile> created = OutputFile::Create(path);
  if (!created.ok()) return created.status();
  file.emplace(*std::move(created));
  return absl::OkStatus();
}

// The text for people has on standard output why nothing came of an image.
void ComplainOfFailure(const ImageReport& report, const Options& options,
                       const Surroundings& surroundings) {
  if (options.output == OutputFormat::kHuman) return;
  if (report.transaction.has_value() && !report.transaction->error.ok()) {
    Complain(surroundings, report.transaction->error);
  } else if (report.found.status == checker::CheckStatus::kError &&
             !report.found.errors.empty()) {
    Complain(surroundings, report.found.errors[0]);
  }
}

}  // namespace

Outputs::Outputs(const Options& options, const Surroundings& surroundings)
    : options_(options),
      surroundings_(surroundings),
      standard_(options.output, options.images.size(), ShapeOf(options)),
      file_(options.output == OutputFormat::kNdjson ? OutputFormat::kNdjson
                                                    : OutputFormat::kJson,
            options.images.size(), ShapeOf(options)) {}

absl::Status Outputs::Open(const Options& options) {
  RETURN_IF_ERROR(OpenFile(options.report_file, report_));
  return OpenFile(options.metrics_file, metrics_);
}

absl::Status Outputs::Add(const ImageReport& report, int64_t earlier_success) {
  ComplainOfFailure(report, options_, surroundings_);
  if (metrics_) {
    images_.push_back(MetricsOf(report, std::time(nullptr), earlier_success));
  }
  if (report_) {
    // The file is complete, so that it can be the next baseline.
    ImageReport whole = report;
    whole.change.reset();
    RETURN_IF_ERROR(report_->Append(file_.Add(whole)));
  }
  return Print(standard_.Add(report));
}

void Outputs::AddRemembered(const ImageMetrics& image) {
  if (metrics_) images_.push_back(image);
}

absl::Status Outputs::End(const FleetSummary* summary) {
  if (report_) {
    RETURN_IF_ERROR(report_->Append(file_.End(summary)));
    RETURN_IF_ERROR(report_->Commit());
  }
  if (metrics_) {
    std::optional<RunMetrics> run;
    if (summary != nullptr) {
      run = {summary->seconds, summary->left, summary->exit_code};
    }
    RETURN_IF_ERROR(
        metrics_->Append(MetricsText(images_, std::time(nullptr), run)));
    RETURN_IF_ERROR(metrics_->Commit());
  }
  return Print(standard_.End(summary));
}

absl::Status Outputs::Print(std::string_view text) const {
  return WriteAll(surroundings_.standard_output, text, "standard output");
}

}  // namespace qcow2::cli
