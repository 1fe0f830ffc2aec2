#include "cli/tool/text_output.h"

#include <cstddef>

#include "cli/output_file.h"

namespace qcow2::tool {
namespace {

constexpr size_t kGatheredBytes = size_t{64} << 10;

}  // namespace

void TextOutput::Append(std::string_view text) {
  if (failed()) return;
  gathered_.append(text);
  if (gathered_.size() >= kGatheredBytes) Drain();
}

absl::Status TextOutput::Finish() {
  if (!failed()) Drain();
  return status_;
}

void TextOutput::Drain() {
  status_ = cli::WriteAll(descriptor_, gathered_, "standard output");
  gathered_.clear();
}

}  // namespace qcow2::tool
