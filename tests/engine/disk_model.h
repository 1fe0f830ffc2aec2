// DiskModel: a flat buffer that says what a disk must read as, and random
// requests that are put to both.
//
// For tests only.
#ifndef TESTS_ENGINE_DISK_MODEL_H_
#define TESTS_ENGINE_DISK_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/image/image.h"

namespace qcow2 {

class DiskModel {
 public:
  DiskModel(uint64_t size_bytes, uint64_t seed)
      : bytes_(size_bytes), attempted_(bytes_), random_(seed) {}

  // Puts one random request to `image`. OK only if it succeeded; the model then
  // has changed as the disk should have.
  absl::Status Step(Image& image);
  // Reads all of `image`; the first difference as an error.
  absl::Status Compare(Image& image) const;
  // The last request in words.
  const std::string& last() const { return last_; }

  const std::vector<std::byte>& bytes() const { return bytes_; }
  std::vector<std::byte>& bytes() { return bytes_; }
  // What the disk has once the last request is done in full: bytes(), unless
  // that request failed.
  const std::vector<std::byte>& attempted() const { return attempted_; }
  std::mt19937_64& random() { return random_; }

 private:
  uint64_t Below(uint64_t limit) { return random_() % limit; }
  absl::Status Write(Image& image, uint64_t offset, uint64_t length);
  absl::Status WriteCompressed(Image& image, uint64_t cluster);
  absl::Status Zero(Image& image, uint64_t offset, uint64_t length);
  absl::Status Discard(Image& image, uint64_t offset, uint64_t length);
  absl::Status ReadBack(Image& image, uint64_t offset, uint64_t length);

  // Notes that `length` bytes are about to become those at `data`.
  void Attempt(uint64_t offset, std::span<const std::byte> data);

  std::vector<std::byte> bytes_;
  std::vector<std::byte> attempted_;
  std::mt19937_64 random_;
  std::string last_;
};

}  // namespace qcow2

#endif  // TESTS_ENGINE_DISK_MODEL_H_
