// Several reports as one output in one of the formats.
//
// Pure, no I/O.
#ifndef CLI_REPORT_STREAM_H_
#define CLI_REPORT_STREAM_H_

#include <array>
#include <cstddef>
#include <string>

#include "cli/image_report.h"
#include "cli/options.h"

namespace qcow2::cli {

// Add() for each image as it is done, then End(): the texts they return, put
// one behind the other, are the output. JSON is one object for one image and an
// array for several, as `images` says beforehand.
class ReportStream {
 public:
  ReportStream(OutputFormat format, size_t images)
      : format_(format), images_(images) {}

  std::string Add(const ImageReport& report);
  std::string End();

 private:
  std::string Summary() const;

  const OutputFormat format_;
  const size_t images_;
  size_t added_ = 0;
  int exit_code_ = 0;
  std::array<size_t, 7> by_status_ = {};  // indexed by ImageStatus
};

}  // namespace qcow2::cli

#endif  // CLI_REPORT_STREAM_H_
