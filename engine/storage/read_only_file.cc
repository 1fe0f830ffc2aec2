#include "engine/storage/read_only_file.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace qcow2 {
namespace {

absl::Status Refuse(const char* operation, const std::string& name) {
  return absl::FailedPreconditionError(
      absl::StrCat("cannot ", operation, " '", name,
                   "': it is not to be changed, only read"));
}

}  // namespace

absl::Status ReadOnlyFile::Pwrite(uint64_t /*offset*/,
                                  std::span<const std::byte> /*data*/) {
  return Refuse("write", name());
}

absl::Status ReadOnlyFile::Flush() { return Refuse("flush", name()); }

absl::Status ReadOnlyFile::Truncate(uint64_t /*size*/) {
  return Refuse("resize", name());
}

absl::Status ReadOnlyFile::PunchHole(ByteRange /*range*/) {
  return Refuse("punch a hole into", name());
}

absl::Status ReadOnlyFile::Allocate(ByteRange /*range*/) {
  return Refuse("reserve space for", name());
}

}  // namespace qcow2
