#include "engine/codec/af_splitter.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "engine/codec/openssl_handles.h"
#include "engine/codec/random_bytes.h"
#include "engine/format/byte_order.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// Replaces a stripe by its diffusion: each piece as long as a digest becomes
// the digest of its big-endian number and itself; the last may be cut short.
class Diffuser {
 public:
  explicit Diffuser(const CryptoHash& hash)
      : hash_(hash), context_(EVP_MD_CTX_new()) {}

  absl::Status Diffuse(std::span<std::byte> stripe) {
    const size_t step = hash_.digest_bytes();
    uint32_t number = 0;
    for (size_t at = 0; at < stripe.size(); at += step, ++number) {
      RETURN_IF_ERROR(DiffusePiece(
          number, stripe.subspan(at, std::min(step, stripe.size() - at))));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status DiffusePiece(uint32_t number, std::span<std::byte> piece) {
    std::array<std::byte, sizeof(number)> prefix;
    StoreBe32(prefix.data(), number);
    EVP_MD_CTX* context = context_.get();
    // Naming the algorithm again would have OpenSSL search for it again.
    const EVP_MD* algorithm = started_ ? nullptr : hash_.algorithm();
    started_ = true;
    if (context == nullptr ||
        EVP_DigestInit_ex(context, algorithm, nullptr) != 1 ||
        EVP_DigestUpdate(context, prefix.data(), prefix.size()) != 1 ||
        EVP_DigestUpdate(context, piece.data(), piece.size()) != 1 ||
        EVP_DigestFinal_ex(context, OpenSslOutput(digest_.mutable_bytes()),
                           nullptr) != 1) {
      return OpenSslError("cannot hash key material");
    }
    std::copy_n(digest_.bytes().begin(), piece.size(), piece.begin());
    return absl::OkStatus();
  }

  CryptoHash hash_;
  DigestContext context_;
  bool started_ = false;
  Secret digest_{kMaxDigestBytes};
};

void XorInto(std::span<std::byte> block, std::span<const std::byte> stripe) {
  for (size_t i = 0; i < block.size(); ++i) block[i] ^= stripe[i];
}

// Fills `block` (zeros) with what all stripes but the last come to, with which
// the last then gives the key.
absl::Status Accumulate(const CryptoHash& hash,
                        std::span<const std::byte> all_but_last,
                        std::span<std::byte> block) {
  Diffuser diffuser(hash);
  for (size_t at = 0; at < all_but_last.size(); at += block.size()) {
    XorInto(block, all_but_last.subspan(at, block.size()));
    RETURN_IF_ERROR(diffuser.Diffuse(block));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Secret> AfSplit(const CryptoHash& hash,
                               std::span<const std::byte> key,
                               uint32_t stripes) {
  if (key.empty() || stripes == 0) {
    return absl::InvalidArgumentError(absl::StrCat("cannot spread a key of ",
                                                   key.size(), " bytes over ",
                                                   stripes, " stripes"));
  }
  Secret split(key.size() * stripes);
  const size_t last = split.size() - key.size();
  RETURN_IF_ERROR(FillWithRandomBytes(split.mutable_bytes().first(last)));
  const auto last_stripe = split.mutable_bytes().subspan(last);
  RETURN_IF_ERROR(Accumulate(hash, split.bytes().first(last), last_stripe));
  XorInto(last_stripe, key);
  return split;
}

absl::Status AfMerge(const CryptoHash& hash, std::span<const std::byte> stripes,
                     std::span<std::byte> key) {
  if (key.empty() || stripes.empty() || stripes.size() % key.size() != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a key of ", key.size(), " bytes is not spread over ", stripes.size()));
  }
  std::fill(key.begin(), key.end(), std::byte{0});
  const size_t last = stripes.size() - key.size();
  RETURN_IF_ERROR(Accumulate(hash, stripes.first(last), key));
  XorInto(key, stripes.subspan(last));
  return absl::OkStatus();
}

}  // namespace qcow2
