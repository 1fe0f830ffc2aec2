// The findings of an earlier report, to tell what is new.
#ifndef CLI_FLEET_BASELINE_H_
#define CLI_FLEET_BASELINE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/fleet/ranges.h"
#include "cli/image_change.h"
#include "cli/image_report.h"
#include "cli/json_values.h"

namespace qcow2::cli {

class Baseline {
 public:
  // Adds the reports in the file at `path`; of an image that is there twice
  // the later one counts. NotFound if there is no such file.
  absl::Status Read(const std::string& path);

  // Adds the report of an image. One of a check that came to no verdict does
  // not take away what is known by then.
  void Add(const Json& report);

  // What is new or gone in an image. The same damage is known again by its
  // problem and place, whatever run it is listed in. All that is in an image
  // that the baseline does not have is new.
  ImageChange Compare(const ImageReport& report) const;

  // What is known of an image whose check came to no verdict, and was not found
  // by it: a JSON object, for the report to be as good a baseline as this one.
  // Empty if there is nothing to be told.
  std::string StillKnown(const checker::CheckReport& found) const;

  // The images that it has, by path and in order.
  std::vector<std::string> Images() const;

 private:
  struct KnownRun {
    uint64_t first = 0;
    uint64_t count = 0;
    GoneFinding description;
    std::string place;  // a JSON object with what tells it, as in the report
  };
  struct KnownImage {
    std::map<std::string, std::vector<KnownRun>> runs;  // by kind
    uint64_t corruptions = 0;
    uint64_t leaks = 0;
    int exit_code = 0;
    bool all_listed = true;
  };

  static void AddRun(const Json& finding, KnownImage& image);
  static void AddRuns(const Json& report, const char* list, KnownImage& image);
  // What a report carries on of an earlier one.
  static KnownImage KnownOf(const Json& json);
  // Adds what is known to an `image` that could not be looked at.
  static void AddKnown(const KnownImage& known, KnownImage& image);
  static std::vector<CountedRange> RangesOf(const KnownImage& image,
                                            const std::string& kind);
  // The findings, or parts of them, that are not in `known`.
  static std::vector<checker::Finding> NewOf(
      const std::vector<checker::Finding>& findings, const KnownImage& known);
  // Where findings are, by kind.
  using Places = std::map<std::string, std::vector<CountedRange>>;
  static Places PlacesOf(const checker::CheckReport& found);
  // What of `known` is not among those found.
  static std::vector<GoneFinding> GoneOf(const checker::CheckReport& found,
                                         const KnownImage& known);

  std::map<std::string, KnownImage> images_;
};

}  // namespace qcow2::cli

#endif  // CLI_FLEET_BASELINE_H_
