// SerializedFile: makes any File fit for several threads by letting them in one
// at a time.
#ifndef ENGINE_IMAGE_SERIALIZED_FILE_H_
#define ENGINE_IMAGE_SERIALIZED_FILE_H_

#include <memory>
#include <string>
#include <utility>

#include "engine/mutex.h"
#include "engine/storage/file.h"

namespace qcow2 {

class SerializedFile : public File {
 public:
  explicit SerializedFile(std::unique_ptr<File> file)
      : file_(std::move(file)) {}

  std::string name() const override { return file_->name(); }
  bool concurrent() const override { return true; }
  absl::StatusOr<uint64_t> Size() const override {
    MutexLock held(&mutex_);
    return file_->Size();
  }
  absl::StatusOr<size_t> Pread(uint64_t offset,
                               std::span<std::byte> buffer) const override {
    MutexLock held(&mutex_);
    return file_->Pread(offset, buffer);
  }
  absl::Status Pwrite(uint64_t offset,
                      std::span<const std::byte> data) override {
    MutexLock held(&mutex_);
    return file_->Pwrite(offset, data);
  }
  absl::Status Flush() override {
    MutexLock held(&mutex_);
    return file_->Flush();
  }
  absl::Status Truncate(uint64_t size) override {
    MutexLock held(&mutex_);
    return file_->Truncate(size);
  }
  absl::Status PunchHole(ByteRange range) override {
    MutexLock held(&mutex_);
    return file_->PunchHole(range);
  }
  absl::Status Allocate(ByteRange range) override {
    MutexLock held(&mutex_);
    return file_->Allocate(range);
  }
  absl::StatusOr<ByteRange> NextData(uint64_t offset) const override {
    MutexLock held(&mutex_);
    return file_->NextData(offset);
  }
  void Advise(Access access, ByteRange range) const override {
    MutexLock held(&mutex_);
    file_->Advise(access, range);
  }
  absl::Status Lock(LockRequest request) override {
    MutexLock held(&mutex_);
    return file_->Lock(request);
  }
  void Unlock() override {
    MutexLock held(&mutex_);
    file_->Unlock();
  }

 private:
  mutable Mutex mutex_;
  const std::unique_ptr<File> file_;
};

}  // namespace qcow2

#endif  // ENGINE_IMAGE_SERIALIZED_FILE_H_
