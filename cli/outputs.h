// Everything the reports of a run go to: standard output, the file of --report
// and that of --metrics, and the pictures of --html and --map.
#ifndef CLI_OUTPUTS_H_
#define CLI_OUTPUTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cli/fleet/summary.h"
#include "cli/image_report.h"
#include "cli/metrics_printer.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/picture/picture.h"
#include "cli/report_stream.h"
#include "cli/surroundings.h"

namespace qcow2::cli {

// For one thread at a time.
class Outputs {
 public:
  Outputs(const Options& options, const Surroundings& surroundings);

  // Before anything is checked, so that a slip in a name is seen at once.
  absl::Status Open(const Options& options);

  // What came of an image. Also says on standard error why nothing did, unless
  // standard output says so to people.
  absl::Status Add(const ImageReport& report,
                   const EarlierVerdict& earlier = {});

  // What is known of an image that this run did not check, for the metrics.
  void AddRemembered(const ImageMetrics& image);

  // Draws the image the report is of, for the files that show it.
  absl::Status AddPicture(const ImageReport& report, const Picture& picture);

  // Puts the files in their places. With the summary if there is one.
  absl::Status End(const FleetSummary* summary);

 private:
  absl::Status Print(std::string_view text) const;

  const Options& options_;
  const Surroundings& surroundings_;
  ReportStream standard_;
  ReportStream file_;
  std::optional<OutputFile> report_;
  std::optional<OutputFile> metrics_;
  std::optional<OutputFile> html_;
  std::optional<OutputFile> map_;
  std::vector<ImageMetrics> images_;
};

}  // namespace qcow2::cli

#endif  // CLI_OUTPUTS_H_
