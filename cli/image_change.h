// What is new or gone in an image since an earlier report.
//
// Pure values, no I/O.
#ifndef CLI_IMAGE_CHANGE_H_
#define CLI_IMAGE_CHANGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "checker/finding.h"

namespace qcow2::cli {

// A finding of the earlier report, or the part of it, that is not there now.
struct GoneFinding {
  std::string code;
  std::string severity;
  std::string message;  // of the earlier report
  uint64_t count = 0;   // entries or clusters that are gone
};

struct ImageChange {
  // New findings, or the new part of one: as in checker::CheckReport.
  std::vector<checker::Finding> problems;
  std::vector<checker::Finding> warnings;
  std::vector<GoneFinding> gone;
  uint64_t new_corruptions = 0;  // occurrences
  uint64_t new_leaks = 0;
  // It could not be checked, or not completely, and before it could.
  bool newly_failed = false;
  int exit_code = 0;  // by what is new

  bool any() const {
    return !problems.empty() || !warnings.empty() || !gone.empty() ||
           exit_code != 0;
  }
};

}  // namespace qcow2::cli

#endif  // CLI_IMAGE_CHANGE_H_
