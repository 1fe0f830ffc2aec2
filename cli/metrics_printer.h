// The reports as metrics for Prometheus' textfile collector.
//
// Pure, no I/O.
#ifndef CLI_METRICS_PRINTER_H_
#define CLI_METRICS_PRINTER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checker/report.h"
#include "cli/image_report.h"

namespace qcow2::cli {

// What of a report the metrics are made from, so that the reports themselves
// need not be kept.
struct ImageMetrics {
  std::string path;
  ImageStatus status = ImageStatus::kError;
  int exit_code = 0;
  checker::Counts counts;  // of what is in the image now
  uint64_t fixed = 0;
  uint64_t virtual_size_bytes = 0;
  uint64_t file_size_bytes = 0;
  uint64_t metadata_bytes = 0;
  double seconds = 0;
  uint64_t leaked_bytes = 0;
  int64_t checked = 0;  // seconds since 1970
  // The last check that came to a verdict; 0 if none is known of.
  int64_t succeeded = 0;
  // What a state file remembers of an earlier run: sizes are not known.
  bool remembered = false;
  // With a baseline.
  std::optional<uint64_t> new_corruptions = std::nullopt;
  std::optional<uint64_t> new_leaks = std::nullopt;
};

// What is known of an image from before it was checked.
struct EarlierVerdict {
  int64_t time = 0;  // in seconds since 1970; 0: there was none
  checker::Counts counts = {};
  uint64_t leaked_bytes = 0;
};

// `counts`, or those of `earlier` where they are larger: a check that came to
// no verdict does not take away what was found before.
checker::Counts AtLeast(checker::Counts counts, const checker::Counts& earlier);

// Of an image that was checked at the time `checked`.
ImageMetrics MetricsOf(const ImageReport& report, int64_t checked,
                       const EarlierVerdict& earlier = {});

// Of a run over many images.
struct RunMetrics {
  double seconds = 0;
  uint64_t left = 0;  // images for the next run
  int exit_code = 0;
};

// The text of the file: every metric with HELP and TYPE, a sample an image, the
// totals of all images, and of the run if there is one over many. `finished` is
// the time of the run in seconds since 1970. An image that was given twice gets
// the samples of its last check only.
std::string MetricsText(const std::vector<ImageMetrics>& images,
                        int64_t finished,
                        const std::optional<RunMetrics>& run = std::nullopt);

}  // namespace qcow2::cli

#endif  // CLI_METRICS_PRINTER_H_
