#include "cli/outputs.h"

#include <sys/stat.h>

#include <ctime>
#include <utility>

#include "cli/human_printer.h"
#include "cli/picture/html_page.h"
#include "cli/picture/svg_map.h"
#include "engine/status_macros.h"

namespace qcow2::cli {
namespace {

StreamShape ShapeOf(const Options& options) {
  if (options.fleet.any()) return StreamShape::kFleet;
  return options.images.size() == 1 ? StreamShape::kOneImage
                                    : StreamShape::kList;
}

// Whether two paths lead to the same file.
bool SameFile(const std::string& one, const std::string& other) {
  struct stat a;
  struct stat b;
  return stat(one.c_str(), &a) == 0 && stat(other.c_str(), &b) == 0 &&
         a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

absl::Status OpenFile(const std::string& path, const Options& options,
                      std::optional<OutputFile>& file) {
  if (path.empty()) return absl::OkStatus();
  // An image whose header is damaged does not look like one.
  for (const std::string& image : options.images) {
    if (!SameFile(path, image)) continue;
    return absl::InvalidArgumentError("'" + path +
                                      "' is the image; not overwriting it");
  }
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
  RETURN_IF_ERROR(OpenFile(options.report_file, options, report_));
  RETURN_IF_ERROR(OpenFile(options.metrics_file, options, metrics_));
  RETURN_IF_ERROR(OpenFile(options.html_file, options, html_));
  return OpenFile(options.map_file, options, map_);
}

absl::Status Outputs::Add(const ImageReport& report,
                          const EarlierVerdict& earlier) {
  ComplainOfFailure(report, options_, surroundings_);
  if (metrics_) {
    images_.push_back(MetricsOf(report, std::time(nullptr), earlier));
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

absl::Status Outputs::AddPicture(const ImageReport& report,
                                 const Picture& picture) {
  if (html_) {
    RETURN_IF_ERROR(
        html_->Append(HtmlPage(report, picture, std::time(nullptr))));
    RETURN_IF_ERROR(html_->Commit());
  }
  if (map_) {
    RETURN_IF_ERROR(map_->Append(
        SvgDocument(picture, report.found.image.path, VerdictInWords(report))));
    RETURN_IF_ERROR(map_->Commit());
  }
  return absl::OkStatus();
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
