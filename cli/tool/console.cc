#include "cli/tool/console.h"

#include <string>

#include "checker/printable.h"
#include "cli/output_file.h"

namespace qcow2::tool {

void Complain(const Console& console, std::string_view what) {
  cli::WriteAll(
      console.standard_error,
      std::string(kProgramName) + ": " + checker::Printable(what) + "\n",
      "standard error")
      .IgnoreError();
}

void Complain(const Console& console, const absl::Status& status) {
  const absl::string_view message = status.message();
  Complain(console, std::string_view(message.data(), message.size()));
}

}  // namespace qcow2::tool
