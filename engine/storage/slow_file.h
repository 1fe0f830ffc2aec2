// SlowFile: another File on a disk that takes its time. For tests.
#ifndef ENGINE_STORAGE_SLOW_FILE_H_
#define ENGINE_STORAGE_SLOW_FILE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <thread>

#include "absl/status/statusor.h"
#include "engine/storage/forwarding_file.h"

namespace qcow2 {

class SlowFile : public ForwardingFile {
 public:
  // `target` must outlive this.
  explicit SlowFile(File& target) : ForwardingFile(target) {}

  // After a millisecond, which nothing in memory needs.
  absl::StatusOr<size_t> Pread(uint64_t offset,
                               std::span<std::byte> buffer) const override {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return target().Pread(offset, buffer);
  }
};

}  // namespace qcow2

#endif  // ENGINE_STORAGE_SLOW_FILE_H_
