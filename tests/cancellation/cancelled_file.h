// A file in whose use a run is cancelled.
//
// For tests only. Safe for concurrent use if the target is.
#ifndef TESTS_CANCELLATION_CANCELLED_FILE_H_
#define TESTS_CANCELLATION_CANCELLED_FILE_H_

#include <cstddef>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/forwarding_file.h"
#include "tests/cancellation/cancel_point.h"

namespace qcow2 {

// Every operation on the contents passes the point. Both must outlive this.
class CancelledFile : public ForwardingFile {
 public:
  CancelledFile(File& target, CancelPoint& point)
      : ForwardingFile(target), point_(point) {}

  absl::StatusOr<size_t> Pread(uint64_t offset,
                               std::span<std::byte> buffer) const override {
    point_.Pass();
    return ForwardingFile::Pread(offset, buffer);
  }
  absl::Status Pwrite(uint64_t offset,
                      std::span<const std::byte> data) override {
    point_.Pass();
    return ForwardingFile::Pwrite(offset, data);
  }
  absl::Status Flush() override {
    point_.Pass();
    return ForwardingFile::Flush();
  }
  absl::Status Truncate(uint64_t size) override {
    point_.Pass();
    return ForwardingFile::Truncate(size);
  }
  absl::StatusOr<ByteRange> NextData(uint64_t offset) const override {
    point_.Pass();
    return ForwardingFile::NextData(offset);
  }

 private:
  CancelPoint& point_;
};

}  // namespace qcow2

#endif  // TESTS_CANCELLATION_CANCELLED_FILE_H_
