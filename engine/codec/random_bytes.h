// Bytes nobody can foresee, for keys and salts; through OpenSSL.
#ifndef ENGINE_CODEC_RANDOM_BYTES_H_
#define ENGINE_CODEC_RANDOM_BYTES_H_

#include <cstddef>
#include <span>

#include "absl/status/status.h"

namespace qcow2 {

// Fills `bytes`. Internal if the system gives no randomness.
absl::Status FillWithRandomBytes(std::span<std::byte> bytes);

}  // namespace qcow2

#endif  // ENGINE_CODEC_RANDOM_BYTES_H_
