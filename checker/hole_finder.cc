#include "checker/hole_finder.h"

#include <limits>

namespace qcow2::checker {
namespace {

constexpr uint64_t kForEver = std::numeric_limits<uint64_t>::max();

}  // namespace

void HoleFinder::Ask(uint64_t offset) {
  const absl::StatusOr<ByteRange> data = file_.NextData(offset);
  hole_begin_ = offset;
  if (!data.ok()) {
    // To be read as if it were data, which then tells what is wrong.
    data_begin_ = offset;
    known_end_ = offset + 1;
  } else if (data->length == 0) {
    data_begin_ = kForEver;
    known_end_ = kForEver;
  } else {
    data_begin_ = data->offset;
    known_end_ = data->offset + data->length;
  }
}

bool HoleFinder::IsHole(uint64_t offset, uint64_t length) {
  if (offset < hole_begin_ || offset >= known_end_) Ask(offset);
  return offset < data_begin_ && length <= data_begin_ - offset;
}

}  // namespace qcow2::checker
