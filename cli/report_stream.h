// Several reports as one output in one of the formats.
//
// Pure, no I/O.
#ifndef CLI_REPORT_STREAM_H_
#define CLI_REPORT_STREAM_H_

#include <array>
#include <cstddef>
#include <string>

#include "cli/fleet/summary.h"
#include "cli/image_report.h"
#include "cli/options.h"

namespace qcow2::cli {

enum class StreamShape {
  kOneImage,  // its report; in JSON one object
  kList,      // a report of each; in JSON an array
  // A report of each, for people only of those that are not clean, and then a
  // summary; in JSON an array of objects of which it is the last one.
  kFleet,
};

// Add() for each image as it is done, then End(): the texts they return, put
// one behind the other, are the output.
class ReportStream {
 public:
  // Of a list, `images` is how many there are to look at.
  ReportStream(OutputFormat format, size_t images, StreamShape shape)
      : format_(format), images_(images), shape_(shape) {}

  std::string Add(const ImageReport& report);
  // With the summary that kFleet ends with.
  std::string End(const FleetSummary* summary = nullptr);

 private:
  // Comes before what `is_first` to be printed, or not.
  std::string Separator(bool is_first) const;
  std::string Summary() const;

  const OutputFormat format_;
  const size_t images_;
  const StreamShape shape_;
  size_t added_ = 0;
  bool printed_ = false;
  int exit_code_ = 0;
  StatusCounts by_status_ = {};
};

}  // namespace qcow2::cli

#endif  // CLI_REPORT_STREAM_H_
