// ForwardingFile: hands every operation to another File. What the wrappers
// derive from, so that each says only what it does differently.
#ifndef ENGINE_STORAGE_FORWARDING_FILE_H_
#define ENGINE_STORAGE_FORWARDING_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"

namespace qcow2 {

class ForwardingFile : public File {
 public:
  // `target` must outlive this.
  explicit ForwardingFile(File& target) : target_(target) {}
  // A copy of one of its kind would hand everything on past that one: a wrapper
  // of a wrapper is made of it as a File.
  ForwardingFile(const ForwardingFile&) = delete;
  ForwardingFile& operator=(const ForwardingFile&) = delete;

  std::string name() const override { return target_.name(); }
  bool concurrent() const override { return target_.concurrent(); }
  absl::StatusOr<uint64_t> Size() const override { return target_.Size(); }
  absl::StatusOr<size_t> Pread(uint64_t offset,
                               std::span<std::byte> buffer) const override {
    return target_.Pread(offset, buffer);
  }
  absl::Status Pwrite(uint64_t offset,
                      std::span<const std::byte> data) override {
    return target_.Pwrite(offset, data);
  }
  absl::Status Flush() override { return target_.Flush(); }
  absl::Status Truncate(uint64_t size) override {
    return target_.Truncate(size);
  }
  absl::Status PunchHole(ByteRange range) override {
    return target_.PunchHole(range);
  }
  absl::Status Allocate(ByteRange range) override {
    return target_.Allocate(range);
  }
  absl::StatusOr<ByteRange> NextData(uint64_t offset) const override {
    return target_.NextData(offset);
  }
  void Advise(Access access, ByteRange range) const override {
    target_.Advise(access, range);
  }
  absl::Status Lock(LockRequest request) override {
    return target_.Lock(request);
  }
  void Unlock() override { target_.Unlock(); }

 protected:
  File& target() { return target_; }
  const File& target() const { return target_; }

 private:
  File& target_;
};

}  // namespace qcow2

#endif  // ENGINE_STORAGE_FORWARDING_FILE_H_
