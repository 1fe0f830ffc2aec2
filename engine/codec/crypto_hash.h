// The hash functions that LUKS headers name.
//
// Works on memory only, no I/O; through OpenSSL.
#ifndef ENGINE_CODEC_CRYPTO_HASH_H_
#define ENGINE_CODEC_CRYPTO_HASH_H_

#include <openssl/types.h>

#include <cstddef>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qcow2 {

// The longest digest of any of them.
inline constexpr size_t kMaxDigestBytes = 64;

class CryptoHash {
 public:
  // The hash called "md5", "sha1", "sha224", "sha256", "sha384", "sha512" or
  // "ripemd160"; Unimplemented for another name.
  static absl::StatusOr<CryptoHash> Named(std::string_view name);

  // Bytes of a digest.
  size_t digest_bytes() const { return digest_bytes_; }
  // For OpenSSL's functions.
  const EVP_MD* algorithm() const { return algorithm_; }

  // The digest of `bytes`, into `digest` of digest_bytes().
  absl::Status Digest(std::span<const std::byte> bytes,
                      std::span<std::byte> digest) const;

 private:
  CryptoHash(const EVP_MD* algorithm, size_t digest_bytes)
      : algorithm_(algorithm), digest_bytes_(digest_bytes) {}

  const EVP_MD* algorithm_;
  size_t digest_bytes_;
};

}  // namespace qcow2

#endif  // ENGINE_CODEC_CRYPTO_HASH_H_
