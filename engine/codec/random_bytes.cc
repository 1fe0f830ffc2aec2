#include "engine/codec/random_bytes.h"

#include <openssl/rand.h>

#include <algorithm>

#include "engine/codec/openssl_handles.h"

namespace qcow2 {

absl::Status FillWithRandomBytes(std::span<std::byte> bytes) {
  InitializeOpenSsl();
  // OpenSSL counts in int.
  constexpr size_t kAtOnce = size_t{1} << 20;
  for (size_t at = 0; at < bytes.size(); at += kAtOnce) {
    const auto piece = bytes.subspan(at, std::min(kAtOnce, bytes.size() - at));
    if (RAND_bytes(OpenSslOutput(piece), static_cast<int>(piece.size())) != 1) {
      return OpenSslError("no random bytes");
    }
  }
  return absl::OkStatus();
}

}  // namespace qcow2
