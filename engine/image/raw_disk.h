// RawDisk: a file whose bytes are the disk's, one for one.
//
// Reads and writes the file it is given; changes its length only when told to.
#ifndef ENGINE_IMAGE_RAW_DISK_H_
#define ENGINE_IMAGE_RAW_DISK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/image/guest_disk.h"
#include "engine/mutex.h"
#include "engine/storage/file.h"

namespace qcow2 {

class RawDisk : public GuestDisk {
 public:
  // The disk is as long as `file` is now. With `writable` false every write is
  // refused here; with true the file must be writable.
  static absl::StatusOr<std::unique_ptr<RawDisk>> Open(
      std::unique_ptr<File> file, bool writable);

  std::string name() const override { return file_->name(); }
  uint64_t size_bytes() const override { return size_; }
  bool writable() const override { return writable_; }

  // DataLoss where the file has become shorter since it was opened.
  absl::Status Read(uint64_t offset, std::span<std::byte> buffer) override;

  // Holes are zeros, the rest is data: nothing is unallocated, as there is no
  // layer below.
  absl::StatusOr<GuestExtent> ExtentAt(uint64_t offset,
                                       uint64_t max_length) override;

  absl::Status Write(uint64_t offset, std::span<const std::byte> data) override;

  // kUnmap punches a hole, kKeep writes zeros.
  absl::Status WriteZeroes(uint64_t offset, uint64_t length,
                           ZeroMode mode) override;

  // Punches a hole: what was discarded reads as zeros.
  absl::Status Discard(uint64_t offset, uint64_t length) override;
  absl::Status Flush() override;

  // Makes the disk, and its file, `size` bytes long; new bytes are zeros.
  // REQUIRES: nobody else uses the disk meanwhile.
  absl::Status Resize(uint64_t size);

 private:
  RawDisk(std::unique_ptr<File> file, uint64_t size, bool writable);

  // OutOfRange unless the range is within the disk.
  absl::Status CheckRange(const char* operation, uint64_t offset,
                          uint64_t length) const;
  // As well, FailedPrecondition unless the disk may be written.
  absl::Status CheckWrite(const char* operation, uint64_t offset,
                          uint64_t length) const;
  absl::Status Punch(uint64_t offset, uint64_t length);

  // Where the next data of the file is, from `offset` on.
  absl::StatusOr<ByteRange> NextData(uint64_t offset);

  const std::unique_ptr<File> file_;
  std::atomic<uint64_t> size_;
  // Data that was found last. To find where it ends can take a file system as
  // long as it is. What was written since is data as well, at worst too much.
  Mutex mutex_;
  ByteRange data_ ABSL_GUARDED_BY(mutex_);
  const bool writable_;
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_RAW_DISK_H_
