// RecordingFile: another File whose operations are written down, so that a test
// can say what must have come before what.
#ifndef ENGINE_STORAGE_RECORDING_FILE_H_
#define ENGINE_STORAGE_RECORDING_FILE_H_

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"
#include "engine/storage/file_operation.h"
#include "engine/storage/forwarding_file.h"

namespace qcow2 {

// One operation as it was asked for.
struct RecordedOperation {
  FileOperation operation;
  // What it was about. A Truncate has its new size as the offset, a Flush and
  // a lock have nothing here.
  ByteRange range;
  std::vector<std::byte> data;  // Only of a Pwrite.
  bool succeeded = false;
};

// Operations are listed in the order in which they ended.
class RecordingFile : public ForwardingFile {
 public:
  using ForwardingFile::ForwardingFile;

  absl::StatusOr<size_t> Pread(uint64_t offset,
                               std::span<std::byte> buffer) const override;
  absl::Status Pwrite(uint64_t offset,
                      std::span<const std::byte> data) override;
  absl::Status Flush() override;
  absl::Status Truncate(uint64_t size) override;
  absl::Status PunchHole(ByteRange range) override;
  absl::Status Allocate(ByteRange range) override;
  absl::Status Lock(LockRequest request) override;
  void Unlock() override;

  // Everything since the beginning or the last Clear.
  std::vector<RecordedOperation> operations() const;

  // How many of those are of one kind.
  size_t Count(FileOperation operation) const;

  void Clear();

 private:
  void Record(RecordedOperation operation) const;

  mutable std::mutex mutex_;
  mutable std::vector<RecordedOperation> operations_;
};

}  // namespace qcow2

#endif  // ENGINE_STORAGE_RECORDING_FILE_H_
