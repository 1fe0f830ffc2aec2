#include "engine/storage/recording_file.h"

#include <algorithm>
#include <utility>

namespace qcow2 {

void RecordingFile::Record(RecordedOperation operation) const {
  const std::lock_guard<std::mutex> guard(mutex_);
  operations_.push_back(std::move(operation));
}

absl::StatusOr<size_t> RecordingFile::Pread(uint64_t offset,
                                            std::span<std::byte> buffer) const {
  absl::StatusOr<size_t> result = target().Pread(offset, buffer);
  Record({FileOperation::kPread, {offset, buffer.size()}, {}, result.ok()});
  return result;
}

absl::Status RecordingFile::Pwrite(uint64_t offset,
                                   std::span<const std::byte> data) {
  absl::Status result = target().Pwrite(offset, data);
  Record({FileOperation::kPwrite,
          {offset, data.size()},
          {data.begin(), data.end()},
          result.ok()});
  return result;
}

absl::Status RecordingFile::Flush() {
  absl::Status result = target().Flush();
  Record({FileOperation::kFlush, {}, {}, result.ok()});
  return result;
}

absl::Status RecordingFile::Truncate(uint64_t size) {
  absl::Status result = target().Truncate(size);
  Record({FileOperation::kTruncate, {size, 0}, {}, result.ok()});
  return result;
}

absl::Status RecordingFile::PunchHole(ByteRange range) {
  absl::Status result = target().PunchHole(range);
  Record({FileOperation::kPunchHole, range, {}, result.ok()});
  return result;
}

absl::Status RecordingFile::Allocate(ByteRange range) {
  absl::Status result = target().Allocate(range);
  Record({FileOperation::kAllocate, range, {}, result.ok()});
  return result;
}

absl::Status RecordingFile::Lock(LockRequest request) {
  absl::Status result = target().Lock(request);
  Record({FileOperation::kLock, {}, {}, result.ok()});
  return result;
}

void RecordingFile::Unlock() {
  target().Unlock();
  Record({FileOperation::kUnlock, {}, {}, true});
}

std::vector<RecordedOperation> RecordingFile::operations() const {
  const std::lock_guard<std::mutex> guard(mutex_);
  return operations_;
}

size_t RecordingFile::Count(FileOperation operation) const {
  const std::lock_guard<std::mutex> guard(mutex_);
  return std::count_if(operations_.begin(), operations_.end(),
                       [operation](const RecordedOperation& recorded) {
                         return recorded.operation == operation;
                       });
}

void RecordingFile::Clear() {
  const std::lock_guard<std::mutex> guard(mutex_);
  operations_.clear();
}

}  // namespace qcow2
