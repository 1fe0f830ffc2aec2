// The anti-forensic splitter of LUKS: spreads a key over so many bytes that
// losing a few of them loses the key.
//
// Works on memory only, no I/O; through OpenSSL.
#ifndef ENGINE_CODEC_AF_SPLITTER_H_
#define ENGINE_CODEC_AF_SPLITTER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/codec/crypto_hash.h"
#include "engine/codec/secret.h"

namespace qcow2 {

// `key` spread over `stripes` times its length, at random: all but the last
// stripe are random bytes, the last makes them merge to the key.
// InvalidArgument for an empty key or no stripes.
absl::StatusOr<Secret> AfSplit(const CryptoHash& hash,
                               std::span<const std::byte> key,
                               uint32_t stripes);

// Fills `key` with what was spread over `stripes`, whose length is a multiple
// of the key's; InvalidArgument if it is not.
absl::Status AfMerge(const CryptoHash& hash, std::span<const std::byte> stripes,
                     std::span<std::byte> key);

}  // namespace qcow2

#endif  // ENGINE_CODEC_AF_SPLITTER_H_
