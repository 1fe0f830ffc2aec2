// Owning handles for OpenSSL's objects, and its errors as a status.
//
// For the files of this folder only.
#ifndef ENGINE_CODEC_OPENSSL_HANDLES_H_
#define ENGINE_CODEC_OPENSSL_HANDLES_H_

#include <openssl/evp.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "absl/status/status.h"

namespace qcow2 {

struct FreeCipherContext {
  void operator()(EVP_CIPHER_CTX* context) const {
    EVP_CIPHER_CTX_free(context);
  }
};
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, FreeCipherContext>;

struct FreeDigestContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using DigestContext = std::unique_ptr<EVP_MD_CTX, FreeDigestContext>;

// Makes the library ready; to be called before anything else of it. May be
// called often and from several threads. The system's configuration file is not
// read: it could load code into the program and change what a name means.
void InitializeOpenSsl();

// Internal: `what` failed, with the oldest error the library has for this
// thread, whose errors are then forgotten.
absl::Status OpenSslError(std::string_view what);

// Bytes as OpenSSL takes them, which predates std::byte.
inline const unsigned char* OpenSslInput(std::span<const std::byte> bytes) {
  return static_cast<const unsigned char*>(
      static_cast<const void*>(bytes.data()));
}
inline unsigned char* OpenSslOutput(std::span<std::byte> bytes) {
  return static_cast<unsigned char*>(static_cast<void*>(bytes.data()));
}

}  // namespace qcow2

#endif  // ENGINE_CODEC_OPENSSL_HANDLES_H_
