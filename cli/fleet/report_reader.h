// Reads the JSON reports that earlier runs wrote.
#ifndef CLI_FLEET_REPORT_READER_H_
#define CLI_FLEET_REPORT_READER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/json_values.h"

namespace qcow2::cli {

// What a file of reports may have at most.
inline constexpr uint64_t kMaxReportBytes = uint64_t{1} << 30;

// Calls `take` for every object in the file at `path`, which is ndjson, one
// object or an array, in its order: reports of images (they have "image" with a
// "path") and summaries (they have "summary"). Returns whether the file is
// whole: a last line of ndjson that was cut off is passed over. An error that
// names the file if it cannot be read or is no report.
absl::StatusOr<bool> ReadReports(const std::string& path,
                                 const std::function<void(Json report)>& take);

}  // namespace qcow2::cli

#endif  // CLI_FLEET_REPORT_READER_H_
