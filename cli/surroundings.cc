#include "cli/surroundings.h"

#include <string>

#include "checker/printable.h"
#include "cli/output_file.h"
#include "cli/version.h"

namespace qcow2::cli {

void Complain(const Surroundings& surroundings, std::string_view what) {
  std::string line(kToolName);
  line.append(": ").append(checker::Printable(what)).append("\n");
  static_cast<void>(
      WriteAll(surroundings.standard_error, line, "standard error"));
}

void Complain(const Surroundings& surroundings, const absl::Status& status) {
  Complain(surroundings, std::string(status.message()));
}

}  // namespace qcow2::cli
