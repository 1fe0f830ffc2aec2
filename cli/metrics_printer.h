// The reports as metrics for Prometheus' textfile collector.
//
// Pure, no I/O.
#ifndef CLI_METRICS_PRINTER_H_
#define CLI_METRICS_PRINTER_H_

#include <cstdint>
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
};

ImageMetrics MetricsOf(const ImageReport& report);

// The text of the file: every metric with HELP and TYPE, a sample an image.
// `finished` is the time of the run in seconds since 1970. An image that was
// given twice gets the samples of its last check only.
std::string MetricsText(const std::vector<ImageMetrics>& images,
                        int64_t finished);

}  // namespace qcow2::cli

#endif  // CLI_METRICS_PRINTER_H_
