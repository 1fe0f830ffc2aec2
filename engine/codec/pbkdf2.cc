#include "engine/codec/pbkdf2.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <limits>

#include "absl/strings/str_cat.h"
#include "engine/codec/openssl_handles.h"
#include "engine/codec/secret.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

constexpr uint32_t kMaxIterations = std::numeric_limits<int>::max();

// Processor time of this thread: what other programs use meanwhile does not
// make the key weaker.
std::chrono::nanoseconds ThreadTime() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) +
         std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace

absl::Status DeriveKey(const CryptoHash& hash,
                       std::span<const std::byte> passphrase,
                       std::span<const std::byte> salt, uint32_t iterations,
                       std::span<std::byte> key) {
  if (iterations == 0 || iterations > kMaxIterations) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot derive a key with ", iterations, " iterations"));
  }
  const auto* text =
      static_cast<const char*>(static_cast<const void*>(passphrase.data()));
  if (PKCS5_PBKDF2_HMAC(
          passphrase.empty() ? "" : text, static_cast<int>(passphrase.size()),
          OpenSslInput(salt), static_cast<int>(salt.size()),
          static_cast<int>(iterations), hash.algorithm(),
          static_cast<int>(key.size()), OpenSslOutput(key)) != 1) {
    return OpenSslError("cannot derive a key");
  }
  return absl::OkStatus();
}

uint64_t DerivationCost(const CryptoHash& hash, uint32_t iterations,
                        uint64_t key_bytes) {
  const uint64_t digest = hash.digest_bytes();
  const uint64_t blocks = key_bytes / digest + (key_bytes % digest != 0);
  return blocks * iterations;
}

absl::StatusOr<uint32_t> MeasureIterations(const CryptoHash& hash,
                                           size_t key_bytes,
                                           std::chrono::milliseconds time) {
  // Long enough for the clock's steps not to matter.
  constexpr std::chrono::nanoseconds kEnough = std::chrono::milliseconds(20);
  constexpr std::array<std::byte, 32> kSalt = {};
  Secret key(key_bytes);
  uint32_t iterations = kMinIterations;
  for (;;) {
    const std::chrono::nanoseconds start = ThreadTime();
    RETURN_IF_ERROR(
        DeriveKey(hash, kSalt, kSalt, iterations, key.mutable_bytes()));
    const std::chrono::nanoseconds taken = ThreadTime() - start;
    if (taken >= kEnough || iterations > kMaxIterations / 2) {
      const double wanted =
          static_cast<double>(iterations) *
          std::chrono::duration<double>(time).count() /
          std::chrono::duration<double>(std::max(taken, kEnough)).count();
      return static_cast<uint32_t>(
          std::clamp<double>(wanted, kMinIterations, kMaxIterations));
    }
    iterations *= 2;
  }
}

}  // namespace qcow2
