#include "engine/codec/luks_create.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/codec/luks_key_slot.h"
#include "engine/codec/pbkdf2.h"
#include "engine/codec/random_bytes.h"
#include "engine/format/luks_header.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// Key material begins at this sector and on multiples of this many, so that it
// lies in blocks of 4 KiB of its own.
constexpr uint32_t kMaterialAlignment = 8;
// The key itself is random and needs no protection against guesses; its digest
// is made an eighth as hard as a passphrase, as other writers do.
constexpr uint32_t kDigestShare = 8;

// Copies `text` into a field of zeros, which keeps one as the end.
template <size_t N>
absl::Status SetName(std::string_view text, std::array<char, N>& field) {
  if (text.size() >= N) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a LUKS header has no room for a name of ", text.size(), " bytes"));
  }
  std::copy(text.begin(), text.end(), field.begin());
  return absl::OkStatus();
}

// A random UUID, version 4 of RFC 4122.
absl::StatusOr<std::string> NewUuid() {
  std::array<std::byte, 16> bytes = {};
  RETURN_IF_ERROR(FillWithRandomBytes(bytes));
  bytes[6] = (bytes[6] & std::byte{0x0f}) | std::byte{0x40};
  bytes[8] = (bytes[8] & std::byte{0x3f}) | std::byte{0x80};
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    const auto value = std::to_integer<uint32_t>(bytes[i]);
    text += kDigits[value >> 4];
    text += kDigits[value & 0xf];
  }
  return text;
}

// Gives every slot its place, one after the other, and ends the area there.
void LayOut(LuksHeader& header) {
  uint32_t sector = kMaterialAlignment;
  for (LuksKeySlot& slot : header.slots) {
    slot.key_material_sector = sector;
    const auto length = static_cast<uint32_t>(header.KeyMaterialSectors(slot));
    sector += (length + kMaterialAlignment - 1) / kMaterialAlignment *
              kMaterialAlignment;
  }
  header.payload_sector = sector;
}

absl::StatusOr<LuksHeader> NewHeader(const LuksCreateOptions& options,
                                     uint32_t iterations,
                                     const Secret& master_key) {
  LuksHeader header;
  RETURN_IF_ERROR(SetName("aes", header.padded_cipher_name));
  RETURN_IF_ERROR(
      SetName(LuksCipherMode(options.cipher), header.padded_cipher_mode));
  RETURN_IF_ERROR(SetName(options.hash, header.padded_hash_name));
  ASSIGN_OR_RETURN(const std::string uuid, NewUuid());
  RETURN_IF_ERROR(SetName(uuid, header.padded_uuid));
  header.key_bytes = static_cast<uint32_t>(options.cipher.key_bytes);
  LayOut(header);
  header.master_key_iterations =
      std::max(iterations / kDigestShare, kMinIterations);
  RETURN_IF_ERROR(FillWithRandomBytes(header.master_key_salt));
  RETURN_IF_ERROR(
      DigestMasterKey(header, master_key.bytes(), header.master_key_digest));
  LuksKeySlot& first = header.slots.front();
  first.state = kLuksSlotActive;
  first.iterations = iterations;
  RETURN_IF_ERROR(FillWithRandomBytes(first.salt));
  return header;
}

}  // namespace

absl::StatusOr<uint32_t> SlotIterations(const LuksDerivation& derivation,
                                        const CryptoHash& hash,
                                        size_t key_bytes) {
  if (derivation.iterations == 0) {
    return MeasureIterations(hash, key_bytes, derivation.time);
  }
  if (derivation.iterations < kMinIterations) {
    return absl::InvalidArgumentError(
        absl::StrCat(derivation.iterations,
                     " iterations are too few: at least ", kMinIterations));
  }
  return derivation.iterations;
}

absl::Status CheckNewPassphrase(const Secret& passphrase) {
  if (passphrase.empty()) {
    return absl::InvalidArgumentError("the new passphrase is empty");
  }
  const auto bytes = passphrase.bytes();
  if (std::find(bytes.begin(), bytes.end(), std::byte{0}) != bytes.end()) {
    return absl::InvalidArgumentError("the new passphrase has a zero byte");
  }
  return absl::OkStatus();
}

absl::StatusOr<NewLuks> CreateLuks(const LuksCreateOptions& options,
                                   const Secret& passphrase) {
  RETURN_IF_ERROR(CheckNewPassphrase(passphrase));
  ASSIGN_OR_RETURN(const CryptoHash hash, CryptoHash::Named(options.hash));
  const SectorCipherSpec& spec = options.cipher;
  Secret master_key(spec.key_bytes);
  RETURN_IF_ERROR(FillWithRandomBytes(master_key.mutable_bytes()));
  ASSIGN_OR_RETURN(auto cipher, SectorCipher::Create(spec, master_key.bytes()));
  ASSIGN_OR_RETURN(const uint32_t iterations,
                   SlotIterations(options.derivation, hash, spec.key_bytes));
  ASSIGN_OR_RETURN(const LuksHeader header,
                   NewHeader(options, iterations, master_key));
  const LuksKeySlot& slot = header.slots.front();
  ASSIGN_OR_RETURN(const std::vector<std::byte> material,
                   SealKeySlot(header, slot, passphrase, master_key.bytes()));
  NewLuks made;
  made.area.resize(uint64_t{header.payload_sector} * kLuksSectorSize);
  const auto encoded = header.Encode();
  std::copy(encoded.begin(), encoded.end(), made.area.begin());
  std::copy(material.begin(), material.end(),
            made.area.begin() + slot.key_material_sector * kLuksSectorSize);
  made.cipher = std::move(cipher);
  return made;
}

}  // namespace qcow2
