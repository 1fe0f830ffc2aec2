#include "cli/run.h"

#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/exit_code.h"
#include "cli/explain.h"
#include "cli/metrics_printer.h"
#include "cli/output_file.h"
#include "cli/report_stream.h"
#include "cli/session.h"
#include "engine/status_macros.h"

namespace qcow2::cli {
namespace {

int RunExplain(const Options& options, const Surroundings& surroundings) {
  const std::optional<std::string> text = Explain(options.explain);
  if (!text) {
    Complain(surroundings, "there is no problem '" + options.explain +
                               "'; --explain=list lists all");
    return kExitUsageError;
  }
  const absl::Status written =
      WriteAll(surroundings.standard_output, *text, "standard output");
  if (written.ok()) return kExitClean;
  Complain(surroundings, written);
  return kExitOperationalError;
}

// Everything the reports of a run go to.
class Outputs {
 public:
  Outputs(const Options& options, const Surroundings& surroundings)
      : surroundings_(surroundings),
        standard_(options.output, options.images.size()),
        file_(options.output == OutputFormat::kNdjson ? OutputFormat::kNdjson
                                                      : OutputFormat::kJson,
              options.images.size()) {}

  // Before anything is checked, so that a slip in a name is seen at once.
  absl::Status Open(const Options& options) {
    RETURN_IF_ERROR(OpenFile(options.report_file, report_));
    return OpenFile(options.metrics_file, metrics_);
  }

  absl::Status Add(const ImageReport& report) {
    if (metrics_) images_.push_back(MetricsOf(report));
    if (report_) RETURN_IF_ERROR(report_->Append(file_.Add(report)));
    return Print(standard_.Add(report));
  }

  absl::Status End() {
    if (report_) {
      RETURN_IF_ERROR(report_->Append(file_.End()));
      RETURN_IF_ERROR(report_->Commit());
    }
    if (metrics_) {
      RETURN_IF_ERROR(
          metrics_->Append(MetricsText(images_, std::time(nullptr))));
      RETURN_IF_ERROR(metrics_->Commit());
    }
    return Print(standard_.End());
  }

 private:
  static absl::Status OpenFile(const std::string& path,
                               std::optional<OutputFile>& file) {
    if (path.empty()) return absl::OkStatus();
    absl::StatusOr<OutputFile> created = OutputFile::Create(path);
    if (!created.ok()) return created.status();
    file.emplace(*std::move(created));
    return absl::OkStatus();
  }

  absl::Status Print(std::string_view text) {
    return WriteAll(surroundings_.standard_output, text, "standard output");
  }

  const Surroundings& surroundings_;
  ReportStream standard_;
  ReportStream file_;
  std::optional<OutputFile> report_;
  std::optional<OutputFile> metrics_;
  std::vector<ImageMetrics> images_;
};

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

absl::Status ProcessAll(const Options& options,
                        const Surroundings& surroundings, Outputs& outputs,
                        int& exit_code) {
  for (const std::string& path : options.images) {
    if (surroundings.cancel != nullptr && *surroundings.cancel) {
      exit_code |= kExitCancelled;  // there are images left
      break;
    }
    const ImageReport report = ProcessImage(path, options, surroundings);
    ComplainOfFailure(report, options, surroundings);
    exit_code |= ExitCodeOf(report);
    RETURN_IF_ERROR(outputs.Add(report));
    if (report.found.cancelled) break;
  }
  return outputs.End();
}

}  // namespace

int Run(const Options& options, const Surroundings& surroundings) {
  if (!options.explain.empty()) return RunExplain(options, surroundings);
  Outputs outputs(options, surroundings);
  if (absl::Status opened = outputs.Open(options); !opened.ok()) {
    Complain(surroundings, opened);
    return absl::IsInvalidArgument(opened) ? kExitUsageError
                                           : kExitOperationalError;
  }
  int exit_code = kExitClean;
  const absl::Status done =
      ProcessAll(options, surroundings, outputs, exit_code);
  if (done.ok()) return exit_code;
  Complain(surroundings, done);
  return exit_code | kExitOperationalError;
}

}  // namespace qcow2::cli
