#include "engine/codec/crypto_hash.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/codec/openssl_handles.h"

namespace qcow2 {
namespace {

struct NamedHash {
  std::string_view name;
  const EVP_MD* (*algorithm)();
};
constexpr std::array<NamedHash, 7> kHashes = {{{"md5", EVP_md5},
                                               {"sha1", EVP_sha1},
                                               {"sha224", EVP_sha224},
                                               {"sha256", EVP_sha256},
                                               {"sha384", EVP_sha384},
                                               {"sha512", EVP_sha512},
                                               {"ripemd160", EVP_ripemd160}}};

}  // namespace

absl::StatusOr<CryptoHash> CryptoHash::Named(std::string_view name) {
  InitializeOpenSsl();
  const auto* found =
      std::find_if(kHashes.begin(), kHashes.end(),
                   [&](const NamedHash& hash) { return hash.name == name; });
  if (found == kHashes.end()) {
    // The name may come from an image and hold anything.
    std::string printable(name);
    std::replace_if(
        printable.begin(), printable.end(),
        [](char c) { return c < ' ' || c > '~'; }, '?');
    return absl::UnimplementedError(
        absl::StrCat("hash \"", printable, "\" is not supported"));
  }
  const EVP_MD* algorithm = found->algorithm();
  return CryptoHash(algorithm, static_cast<size_t>(EVP_MD_get_size(algorithm)));
}

absl::Status CryptoHash::Digest(std::span<const std::byte> bytes,
                                std::span<std::byte> digest) const {
  if (digest.size() != digest_bytes_) {
    return absl::InvalidArgumentError(
        absl::StrCat("a digest has ", digest_bytes_, " bytes, room was for ",
                     digest.size()));
  }
  if (EVP_Digest(bytes.data(), bytes.size(), OpenSslOutput(digest), nullptr,
                 algorithm_, nullptr) != 1) {
    return OpenSslError("cannot hash");
  }
  return absl::OkStatus();
}

}  // namespace qcow2
