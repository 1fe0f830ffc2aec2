// Secret: bytes that do not outlive their use, such as passphrases and keys.
//
// Loading one reads a file or the environment; nothing else here does I/O.
#ifndef ENGINE_CODEC_SECRET_H_
#define ENGINE_CODEC_SECRET_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace qcow2 {

// No passphrase is longer than this many bytes.
inline constexpr size_t kMaxSecretBytes = size_t{64} << 10;

// Bytes that are overwritten when they are given up. Can be moved, not copied,
// so that there is one place to wipe.
class Secret {
 public:
  Secret() = default;
  // `size` zero bytes, to be filled through mutable_bytes().
  explicit Secret(size_t size);
  ~Secret();
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  // Their source stays the caller's to wipe.
  static Secret CopyOf(std::span<const std::byte> bytes);
  static Secret FromText(std::string_view text);

  std::span<const std::byte> bytes() const { return {bytes_.get(), size_}; }
  std::span<std::byte> mutable_bytes() { return {bytes_.get(), size_}; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  void Wipe();

  std::unique_ptr<std::byte[]> bytes_;
  size_t size_ = 0;
};

// The secret that a file (or pipe) holds: all its bytes except one newline at
// their end, which editors and `echo` add. QEMU takes a secret's file with that
// newline, so such a file must be without one to mean the same to both.
//
// NotFound, PermissionDenied or Unavailable, naming the file, if it cannot be
// read; InvalidArgument if it is empty or longer than kMaxSecretBytes.
absl::StatusOr<Secret> LoadSecretFile(const std::string& path);

// The value of environment variable `name`, as it is. NotFound if there is no
// such variable; InvalidArgument if it is empty or longer than kMaxSecretBytes.
// The environment keeps its own copy.
absl::StatusOr<Secret> LoadSecretVariable(const std::string& name);

}  // namespace qcow2

#endif  // ENGINE_CODEC_SECRET_H_
