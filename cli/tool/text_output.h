// TextOutput: standard output for text that may be long. Gathers what is
// written and keeps the first error, so that printers need not look at each
// write.
#ifndef CLI_TOOL_TEXT_OUTPUT_H_
#define CLI_TOOL_TEXT_OUTPUT_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace qcow2::tool {

class TextOutput {
 public:
  explicit TextOutput(int descriptor) : descriptor_(descriptor) {}
  TextOutput(const TextOutput&) = delete;
  TextOutput& operator=(const TextOutput&) = delete;

  void Append(std::string_view text);
  // Whether nothing that follows can be written, so that a printer may stop.
  bool failed() const { return !status_.ok(); }
  // Writes what is gathered. Returns the first error of all writes.
  absl::Status Finish();

 private:
  void Drain();

  const int descriptor_;
  std::string gathered_;
  absl::Status status_;
};

}  // namespace qcow2::tool

#endif  // CLI_TOOL_TEXT_OUTPUT_H_
