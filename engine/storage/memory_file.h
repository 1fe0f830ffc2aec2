// MemoryFile: a File that is a growing array of bytes. For tests, fuzzing and
// images that are built before they are written.
#ifndef ENGINE_STORAGE_MEMORY_FILE_H_
#define ENGINE_STORAGE_MEMORY_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"

namespace qcow2 {

class MemoryFile : public File {
 public:
  // Growing past this many bytes is ENOSPC (ResourceExhausted), so that a wild
  // offset in a test ends as an error and not as a machine out of memory.
  static constexpr uint64_t kSizeMax = uint64_t{1} << 32;

  explicit MemoryFile(std::vector<std::byte> bytes = {},
                      std::string name = "memory");

  std::string name() const override { return name_; }
  absl::StatusOr<uint64_t> Size() const override { return bytes_.size(); }
  absl::StatusOr<size_t> Pread(uint64_t offset,
                               std::span<std::byte> buffer) const override;
  absl::Status Pwrite(uint64_t offset,
                      std::span<const std::byte> data) override;
  absl::Status Flush() override { return absl::OkStatus(); }
  absl::Status Truncate(uint64_t size) override;
  absl::Status PunchHole(ByteRange range) override;

  // Always the rest of the file.
  absl::StatusOr<ByteRange> NextData(uint64_t offset) const override;

  // There is nobody to share with: always OK.
  absl::Status Lock(LockRequest /*request*/) override {
    return absl::OkStatus();
  }
  void Unlock() override {}

  // The whole contents. The span is good until the next write or Truncate.
  std::span<const std::byte> bytes() const { return bytes_; }
  std::span<std::byte> mutable_bytes() { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
  const std::string name_;
};

}  // namespace qcow2

#endif  // ENGINE_STORAGE_MEMORY_FILE_H_
