#include "repair/reference_memory.h"

#include "absl/strings/str_cat.h"

namespace qcow2::repair {

absl::Status CheckReferencesFit(const checker::CheckReport& report,
                                const checker::CheckOptions& check) {
  if (report.statistics.passes <= 1) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "a repair counts all references at once, which takes more memory than "
      "--memory-limit allows: ",
      check.memory_limit_bytes, " bytes"));
}

}  // namespace qcow2::repair
