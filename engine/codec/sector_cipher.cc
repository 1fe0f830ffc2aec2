#include "engine/codec/sector_cipher.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/codec/crypto_hash.h"
#include "engine/codec/openssl_handles.h"
#include "engine/codec/secret.h"
#include "engine/little_endian.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

constexpr size_t kBlockSize = 16;
constexpr size_t kBlocksPerSector = kCipherSectorSize / kBlockSize;
// Sectors whose vectors are made at once: enough to keep the processor's AES
// pipeline busy, few enough for the stack and the nearest cache.
constexpr size_t kBatchSectors = 8;
constexpr size_t kLegacyKeyBytes = 16;

enum class Chaining { kNone, kCbc };

const EVP_CIPHER* AesCipher(Chaining chaining, size_t key_bytes) {
  const bool cbc = chaining == Chaining::kCbc;
  switch (key_bytes) {
    case 16:
      return cbc ? EVP_aes_128_cbc() : EVP_aes_128_ecb();
    case 24:
      return cbc ? EVP_aes_192_cbc() : EVP_aes_192_ecb();
    case 32:
      return cbc ? EVP_aes_256_cbc() : EVP_aes_256_ecb();
    default:
      return nullptr;
  }
}

absl::StatusOr<CipherContext> NewContext(Chaining chaining,
                                         std::span<const std::byte> key,
                                         bool encrypt) {
  const EVP_CIPHER* cipher = AesCipher(chaining, key.size());
  if (cipher == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("AES has no key of ", key.size(), " bytes"));
  }
  CipherContext context(EVP_CIPHER_CTX_new());
  if (context == nullptr ||
      EVP_CipherInit_ex(context.get(), cipher, nullptr, OpenSslInput(key),
                        nullptr, encrypt ? 1 : 0) != 1 ||
      EVP_CIPHER_CTX_set_padding(context.get(), 0) != 1) {
    return OpenSslError("cannot set up AES");
  }
  return context;
}

absl::StatusOr<CipherContext> CopyOf(const CipherContext& context) {
  if (context == nullptr) return CipherContext();
  CipherContext copy(EVP_CIPHER_CTX_new());
  if (copy == nullptr || EVP_CIPHER_CTX_copy(copy.get(), context.get()) != 1) {
    return OpenSslError("cannot set up AES");
  }
  return copy;
}

absl::Status RunInPlace(const CipherContext& context,
                        std::span<std::byte> blocks) {
  int length = 0;
  if (EVP_CipherUpdate(context.get(), OpenSslOutput(blocks), &length,
                       OpenSslInput(blocks),
                       static_cast<int>(blocks.size())) != 1) {
    return OpenSslError("AES failed");
  }
  return absl::OkStatus();
}

// The tweaks of a sector's blocks, from that of the first: each is the one
// before times x in GF(2^128), as IEEE 1619 has it.
void ExpandTweak(const std::byte* first, std::byte* tweaks) {
  uint64_t low = LoadLe64(first);
  uint64_t high = LoadLe64(first + 8);
  for (size_t block = 0; block < kBlocksPerSector; ++block) {
    StoreLe64(tweaks + block * kBlockSize, low);
    StoreLe64(tweaks + block * kBlockSize + 8, high);
    const uint64_t carry = high >> 63;
    high = high << 1 | low >> 63;
    low = low << 1 ^ carry * 0x87;
  }
}

void Xor(std::span<std::byte> data, const std::byte* mask) {
  for (size_t i = 0; i < data.size(); ++i) data[i] ^= mask[i];
}

using Vectors = std::array<std::byte, kBatchSectors * kBlockSize>;

}  // namespace

// All that one call needs: AES under each key involved.
class SectorCipher::Lane {
 public:
  static absl::StatusOr<std::unique_ptr<Lane>> Create(
      const SectorCipherSpec& spec, std::span<const std::byte> key);

  absl::StatusOr<std::unique_ptr<Lane>> Copy() const;

  absl::Status Run(Direction direction, uint64_t first_sector,
                   std::span<std::byte> batch);

 private:
  Lane(CipherMode mode, IvGenerator iv_generator)
      : mode_(mode), iv_generator_(iv_generator) {}

  absl::Status SetUpEssiv(const std::string& hash_name,
                          std::span<const std::byte> key);
  absl::Status MakeVectors(uint64_t first_sector, std::span<std::byte> vectors);
  absl::Status RunCbc(const CipherContext& data, const Vectors& vectors,
                      std::span<std::byte> batch);
  absl::Status RunXts(const CipherContext& data, Vectors& vectors,
                      std::span<std::byte> batch);

  CipherMode mode_;
  IvGenerator iv_generator_;
  CipherContext encrypt_;
  CipherContext decrypt_;
  // In XTS mode. (XTS is built on plain AES here, as OpenSSL's own would start
  // anew with each sector, and knows no key of 2 times 192 bits.)
  CipherContext tweak_;
  // With essiv.
  CipherContext essiv_;
};

absl::StatusOr<std::unique_ptr<SectorCipher::Lane>> SectorCipher::Lane::Create(
    const SectorCipherSpec& spec, std::span<const std::byte> key) {
  std::unique_ptr<Lane> lane(new Lane(spec.mode, spec.iv_generator));
  const bool xts = spec.mode == CipherMode::kXts;
  const Chaining chaining = xts ? Chaining::kNone : Chaining::kCbc;
  const auto data_key = xts ? key.first(key.size() / 2) : key;
  ASSIGN_OR_RETURN(lane->encrypt_, NewContext(chaining, data_key, true));
  ASSIGN_OR_RETURN(lane->decrypt_, NewContext(chaining, data_key, false));
  if (xts) {
    ASSIGN_OR_RETURN(
        lane->tweak_,
        NewContext(Chaining::kNone, key.subspan(key.size() / 2), true));
  }
  if (spec.iv_generator == IvGenerator::kEssiv) {
    RETURN_IF_ERROR(lane->SetUpEssiv(spec.essiv_hash, key));
  }
  return lane;
}

absl::Status SectorCipher::Lane::SetUpEssiv(const std::string& hash_name,
                                            std::span<const std::byte> key) {
  ASSIGN_OR_RETURN(const CryptoHash hash, CryptoHash::Named(hash_name));
  Secret salt(hash.digest_bytes());
  if (AesCipher(Chaining::kNone, salt.size()) == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("essiv with ", hash_name, " is not supported: AES has no ",
                     "key of ", salt.size(), " bytes"));
  }
  RETURN_IF_ERROR(hash.Digest(key, salt.mutable_bytes()));
  ASSIGN_OR_RETURN(essiv_, NewContext(Chaining::kNone, salt.bytes(), true));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SectorCipher::Lane>> SectorCipher::Lane::Copy()
    const {
  std::unique_ptr<Lane> lane(new Lane(mode_, iv_generator_));
  ASSIGN_OR_RETURN(lane->encrypt_, CopyOf(encrypt_));
  ASSIGN_OR_RETURN(lane->decrypt_, CopyOf(decrypt_));
  ASSIGN_OR_RETURN(lane->tweak_, CopyOf(tweak_));
  ASSIGN_OR_RETURN(lane->essiv_, CopyOf(essiv_));
  return lane;
}

// Runs a batch of at most kBatchSectors.
absl::Status SectorCipher::Lane::Run(Direction direction, uint64_t first_sector,
                                     std::span<std::byte> batch) {
  const CipherContext& data =
      direction == Direction::kEncrypt ? encrypt_ : decrypt_;
  const size_t sectors = batch.size() / kCipherSectorSize;
  Vectors vectors = {};
  RETURN_IF_ERROR(MakeVectors(first_sector,
                              std::span(vectors).first(sectors * kBlockSize)));
  return mode_ == CipherMode::kXts ? RunXts(data, vectors, batch)
                                   : RunCbc(data, vectors, batch);
}

absl::Status SectorCipher::Lane::MakeVectors(uint64_t first_sector,
                                             std::span<std::byte> vectors) {
  for (size_t i = 0; i < vectors.size() / kBlockSize; ++i) {
    const uint64_t sector = first_sector + i;
    StoreLe64(&vectors[i * kBlockSize], iv_generator_ == IvGenerator::kPlain
                                            ? static_cast<uint32_t>(sector)
                                            : sector);
  }
  return essiv_ == nullptr ? absl::OkStatus() : RunInPlace(essiv_, vectors);
}

absl::Status SectorCipher::Lane::RunCbc(const CipherContext& data,
                                        const Vectors& vectors,
                                        std::span<std::byte> batch) {
  for (size_t at = 0; at < batch.size(); at += kCipherSectorSize) {
    const auto vector = std::span(vectors).subspan(
        at / kCipherSectorSize * kBlockSize, kBlockSize);
    // -1 keeps the direction; the key stays, too.
    if (EVP_CipherInit_ex(data.get(), nullptr, nullptr, nullptr,
                          OpenSslInput(vector), -1) != 1) {
      return OpenSslError("AES takes no vector");
    }
    RETURN_IF_ERROR(RunInPlace(data, batch.subspan(at, kCipherSectorSize)));
  }
  return absl::OkStatus();
}

absl::Status SectorCipher::Lane::RunXts(const CipherContext& data,
                                        Vectors& vectors,
                                        std::span<std::byte> batch) {
  const size_t sectors = batch.size() / kCipherSectorSize;
  RETURN_IF_ERROR(
      RunInPlace(tweak_, std::span(vectors).first(sectors * kBlockSize)));
  std::array<std::byte, kBatchSectors * kCipherSectorSize> tweaks;
  for (size_t i = 0; i < sectors; ++i) {
    ExpandTweak(&vectors[i * kBlockSize], &tweaks[i * kCipherSectorSize]);
  }
  Xor(batch, tweaks.data());
  RETURN_IF_ERROR(RunInPlace(data, batch));
  Xor(batch, tweaks.data());
  return absl::OkStatus();
}

// A lane for the length of a call.
class SectorCipher::LeasedLane {
 public:
  static absl::StatusOr<LeasedLane> Take(const SectorCipher& cipher) {
    {
      const std::lock_guard lock(cipher.mutex_);
      if (!cipher.idle_lanes_.empty()) {
        std::unique_ptr<Lane> lane = std::move(cipher.idle_lanes_.back());
        cipher.idle_lanes_.pop_back();
        return LeasedLane(cipher, std::move(lane));
      }
    }
    ASSIGN_OR_RETURN(std::unique_ptr<Lane> lane, cipher.model_->Copy());
    return LeasedLane(cipher, std::move(lane));
  }

  ~LeasedLane() {
    if (lane_ == nullptr) return;
    const std::lock_guard lock(cipher_->mutex_);
    cipher_->idle_lanes_.push_back(std::move(lane_));
  }
  LeasedLane(LeasedLane&&) noexcept = default;
  LeasedLane& operator=(LeasedLane&&) = delete;

  Lane& operator*() const { return *lane_; }

 private:
  LeasedLane(const SectorCipher& cipher, std::unique_ptr<Lane> lane)
      : cipher_(&cipher), lane_(std::move(lane)) {}

  const SectorCipher* cipher_;
  std::unique_ptr<Lane> lane_;
};

SectorCipher::SectorCipher(std::unique_ptr<Lane> model)
    : model_(std::move(model)) {}
SectorCipher::~SectorCipher() = default;

absl::StatusOr<std::unique_ptr<SectorCipher>> SectorCipher::Create(
    const SectorCipherSpec& spec, std::span<const std::byte> key) {
  InitializeOpenSsl();
  if (key.size() != spec.key_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a key of ", key.size(), " bytes for a cipher that has ",
                     spec.key_bytes));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Lane> lane, Lane::Create(spec, key));
  return std::unique_ptr<SectorCipher>(new SectorCipher(std::move(lane)));
}

absl::StatusOr<std::unique_ptr<SectorCipher>> SectorCipher::CreateLegacyAes(
    std::span<const std::byte> password) {
  Secret key(kLegacyKeyBytes);
  std::copy_n(password.begin(), std::min(password.size(), kLegacyKeyBytes),
              key.mutable_bytes().begin());
  return Create({.mode = CipherMode::kCbc,
                 .iv_generator = IvGenerator::kPlain64,
                 .essiv_hash = {},
                 .key_bytes = kLegacyKeyBytes},
                key.bytes());
}

absl::Status SectorCipher::Encrypt(uint64_t first_sector,
                                   std::span<std::byte> sectors) const {
  return Run(Direction::kEncrypt, first_sector, sectors);
}

absl::Status SectorCipher::Decrypt(uint64_t first_sector,
                                   std::span<std::byte> sectors) const {
  return Run(Direction::kDecrypt, first_sector, sectors);
}

absl::Status SectorCipher::Run(Direction direction, uint64_t first_sector,
                               std::span<std::byte> sectors) const {
  if (sectors.size() % kCipherSectorSize != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot encrypt ", sectors.size(), " bytes: no whole sectors"));
  }
  const uint64_t count = sectors.size() / kCipherSectorSize;
  if (count > std::numeric_limits<uint64_t>::max() - first_sector) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sectors from ", first_sector, " on have no numbers: ", count));
  }
  ASSIGN_OR_RETURN(const LeasedLane lane, LeasedLane::Take(*this));
  constexpr size_t kBatchBytes = kBatchSectors * kCipherSectorSize;
  for (size_t at = 0; at < sectors.size(); at += kBatchBytes) {
    const size_t bytes = std::min(kBatchBytes, sectors.size() - at);
    RETURN_IF_ERROR((*lane).Run(direction,
                                first_sector + at / kCipherSectorSize,
                                sectors.subspan(at, bytes)));
  }
  return absl::OkStatus();
}

}  // namespace qcow2
