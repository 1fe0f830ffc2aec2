#include "engine/codec/secret.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/descriptor.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

absl::Status FileError(int error_number, const std::string& path) {
  return absl::ErrnoToStatus(error_number,
                             absl::StrCat("cannot read the secret in ", path));
}

// Fills `buffer` as far as the file goes; returns how far that is.
absl::StatusOr<size_t> ReadAll(int descriptor, std::span<std::byte> buffer,
                               const std::string& path) {
  size_t filled = 0;
  while (filled < buffer.size()) {
    const ssize_t got =
        read(descriptor, &buffer[filled], buffer.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError(errno, path);
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  return filled;
}

absl::Status CheckLength(size_t length, const std::string& where) {
  if (length == 0) {
    return absl::InvalidArgumentError(absl::StrCat("no secret in ", where));
  }
  if (length > kMaxSecretBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the secret in ", where,
                                                   " is longer than ",
                                                   kMaxSecretBytes, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace

Secret::Secret(size_t size)
    : bytes_(std::make_unique<std::byte[]>(size)), size_(size) {}

Secret::~Secret() { Wipe(); }

Secret::Secret(Secret&& other) noexcept
    : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    Wipe();
    bytes_ = std::move(other.bytes_);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void Secret::Wipe() { OPENSSL_cleanse(bytes_.get(), size_); }

Secret Secret::CopyOf(std::span<const std::byte> bytes) {
  Secret secret(bytes.size());
  std::copy(bytes.begin(), bytes.end(), secret.bytes_.get());
  return secret;
}

Secret Secret::FromText(std::string_view text) {
  return CopyOf(std::as_bytes(std::span(text)));
}

absl::StatusOr<Secret> LoadSecretFile(const std::string& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return FileError(errno, path);
  // Room for the newline, and for noticing that there is more.
  Secret content(kMaxSecretBytes + 2);
  ASSIGN_OR_RETURN(size_t length,
                   ReadAll(file.get(), content.mutable_bytes(), path));
  const bool ends_in_newline =
      length > 0 && content.bytes()[length - 1] == std::byte{'\n'};
  if (ends_in_newline) --length;
  RETURN_IF_ERROR(CheckLength(length, path));
  return Secret::CopyOf(content.bytes().first(length));
}

absl::StatusOr<Secret> LoadSecretVariable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("there is no environment variable ", name));
  }
  const std::string_view text(value);
  RETURN_IF_ERROR(
      CheckLength(text.size(), absl::StrCat("environment variable ", name)));
  return Secret::FromText(text);
}

}  // namespace qcow2
