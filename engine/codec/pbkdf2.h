// PBKDF2 (RFC 8018) with HMAC: from a passphrase to a key.
//
// Works on memory only, no I/O; through OpenSSL. Measuring asks for the time.
#ifndef ENGINE_CODEC_PBKDF2_H_
#define ENGINE_CODEC_PBKDF2_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/codec/crypto_hash.h"

namespace qcow2 {

// Fewer iterations than this are no protection; writers do not go below.
inline constexpr uint32_t kMinIterations = 1000;

// Fills `key` with what `passphrase` and `salt` give after `iterations`.
// InvalidArgument for no iterations or 2^31 and more.
absl::Status DeriveKey(const CryptoHash& hash,
                       std::span<const std::byte> passphrase,
                       std::span<const std::byte> salt, uint32_t iterations,
                       std::span<std::byte> key);

// What that costs, in computations of an HMAC.
uint64_t DerivationCost(const CryptoHash& hash, uint32_t iterations,
                        uint64_t key_bytes);

// How many iterations for a key of `key_bytes` take about `time` of this
// processor; at least kMinIterations.
absl::StatusOr<uint32_t> MeasureIterations(const CryptoHash& hash,
                                           size_t key_bytes,
                                           std::chrono::milliseconds time);

}  // namespace qcow2

#endif  // ENGINE_CODEC_PBKDF2_H_
