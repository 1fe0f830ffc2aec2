// The report of an image that nothing is known of, since it did not come to a
// check.
//
// Values only.
#ifndef REPAIR_NOT_CHECKED_H_
#define REPAIR_NOT_CHECKED_H_

#include <string>

#include "absl/status/status.h"
#include "checker/report.h"

namespace qcow2::repair {

inline checker::CheckReport NotChecked(const std::string& path,
                                       const absl::Status& why) {
  checker::CheckReport report;
  report.status = checker::CheckStatus::kError;
  report.image.path = path;
  report.errors.emplace_back(why.message());
  return report;
}

}  // namespace qcow2::repair

#endif  // REPAIR_NOT_CHECKED_H_
