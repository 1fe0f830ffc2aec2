// Small helpers that the tests of this folder share.
#ifndef ENGINE_STORAGE_TESTING_H_
#define ENGINE_STORAGE_TESTING_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "engine/storage/file.h"

namespace qcow2 {

// The characters of `text` as bytes.
inline std::vector<std::byte> Bytes(std::string_view text) {
  std::vector<std::byte> bytes;
  for (const char character : text) {
    bytes.push_back(static_cast<std::byte>(character));
  }
  return bytes;
}

// Up to `length` bytes at `offset` as characters, or the error's text.
inline std::string ReadText(const File& file, uint64_t offset, size_t length) {
  std::vector<std::byte> buffer(length);
  const absl::StatusOr<size_t> count = file.Pread(offset, buffer);
  if (!count.ok()) return count.status().ToString();
  std::string text;
  for (size_t i = 0; i < *count; ++i) text += static_cast<char>(buffer[i]);
  return text;
}

inline absl::Status WriteText(File& file, uint64_t offset,
                              std::string_view text) {
  return file.Pwrite(offset, Bytes(text));
}

}  // namespace qcow2

#endif  // ENGINE_STORAGE_TESTING_H_
