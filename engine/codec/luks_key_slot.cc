#include "engine/codec/luks_key_slot.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/codec/af_splitter.h"
#include "engine/codec/crypto_hash.h"
#include "engine/codec/pbkdf2.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// The cipher of a slot's key material, under the key `passphrase` gives.
absl::StatusOr<std::unique_ptr<SectorCipher>> MaterialCipher(
    const LuksHeader& header, const LuksKeySlot& slot,
    const Secret& passphrase) {
  ASSIGN_OR_RETURN(const SectorCipherSpec spec, CipherOf(header));
  ASSIGN_OR_RETURN(const CryptoHash hash,
                   CryptoHash::Named(header.hash_name()));
  Secret key(header.key_bytes);
  RETURN_IF_ERROR(DeriveKey(hash, passphrase.bytes(), slot.salt,
                            slot.iterations, key.mutable_bytes()));
  return SectorCipher::Create(spec, key.bytes());
}

// The master key in `slot` if `passphrase` opens it.
absl::StatusOr<std::optional<Secret>> OpenKeySlot(const LuksArea& area,
                                                  const LuksHeader& header,
                                                  const LuksKeySlot& slot,
                                                  const Secret& passphrase) {
  // Whole sectors are encrypted, of which the last may have room to spare.
  Secret material(header.KeyMaterialSectors(slot) * kLuksSectorSize);
  RETURN_IF_ERROR(
      area.read(uint64_t{slot.key_material_sector} * kLuksSectorSize,
                material.mutable_bytes()));
  ASSIGN_OR_RETURN(const auto cipher, MaterialCipher(header, slot, passphrase));
  RETURN_IF_ERROR(cipher->Decrypt(0, material.mutable_bytes()));
  ASSIGN_OR_RETURN(const CryptoHash hash,
                   CryptoHash::Named(header.hash_name()));
  Secret key(header.key_bytes);
  const size_t split_bytes = size_t{header.key_bytes} * slot.stripes;
  RETURN_IF_ERROR(
      AfMerge(hash, material.bytes().first(split_bytes), key.mutable_bytes()));
  decltype(header.master_key_digest) digest;
  RETURN_IF_ERROR(DigestMasterKey(header, key.bytes(), digest));
  const bool right =
      CRYPTO_memcmp(digest.data(), header.master_key_digest.data(),
                    digest.size()) == 0;
  if (!right) return std::optional<Secret>();
  return std::optional<Secret>(std::move(key));
}

// Why active slot `index` cannot be tried; empty if it can.
std::string Unfit(const LuksHeader& header, size_t index,
                  uint64_t area_length) {
  const uint32_t issues = LuksSlotIssues(header, index, area_length);
  const LuksKeySlot& slot = header.slots[index];
  if (issues & kLuksSlotBadStripes) {
    return absl::StrCat("has ", slot.stripes, " stripes, not ", kLuksStripes);
  }
  if (issues & kLuksSlotIterationsZero) return "has no iterations";
  if (issues & kLuksSlotOutsideArea) {
    return absl::StrCat("has key material from sector ",
                        slot.key_material_sector, " on, past the LUKS area of ",
                        area_length, " bytes");
  }
  return "";
}

absl::StatusOr<uint64_t> CostOf(const LuksHeader& header,
                                const LuksKeySlot& slot) {
  ASSIGN_OR_RETURN(const CryptoHash hash,
                   CryptoHash::Named(header.hash_name()));
  return DerivationCost(hash, slot.iterations, header.key_bytes) +
         DerivationCost(hash, header.master_key_iterations,
                        header.master_key_digest.size());
}

void PassOver(SlotTrials& trials, size_t index, const std::string& why) {
  absl::StrAppend(&trials.passed_over, trials.passed_over.empty() ? "" : ", ",
                  "slot ", index, " ", why);
}

}  // namespace

absl::StatusOr<SectorCipherSpec> CipherOf(const LuksHeader& header) {
  return ParseLuksCipher(header.cipher_name(), header.cipher_mode(),
                         header.key_bytes);
}

absl::Status DigestMasterKey(const LuksHeader& header,
                             std::span<const std::byte> master_key,
                             std::span<std::byte> digest) {
  ASSIGN_OR_RETURN(const CryptoHash hash,
                   CryptoHash::Named(header.hash_name()));
  return DeriveKey(hash, master_key, header.master_key_salt,
                   header.master_key_iterations, digest);
}

absl::StatusOr<SlotTrials> TryKeySlots(const LuksArea& area,
                                       const LuksHeader& header,
                                       const Secret& passphrase,
                                       const LuksLimits& limits,
                                       TryUntil until) {
  SlotTrials trials;
  uint64_t cost_left = limits.max_derivation_cost;
  for (size_t i = 0; i < kLuksKeySlots; ++i) {
    const LuksKeySlot& slot = header.slots[i];
    if (!slot.active()) continue;
    ++trials.active;
    if (const std::string why = Unfit(header, i, area.length_bytes);
        !why.empty()) {
      PassOver(trials, i, why);
      continue;
    }
    ASSIGN_OR_RETURN(const uint64_t cost, CostOf(header, slot));
    if (cost > cost_left) {
      trials.too_costly = true;
      PassOver(trials, i,
               absl::StrCat("takes more work than allowed: ", slot.iterations,
                            " iterations, and ", header.master_key_iterations,
                            " for the master key's digest"));
      continue;
    }
    cost_left -= cost;
    auto key = OpenKeySlot(area, header, slot, passphrase);
    if (!key.ok()) {
      PassOver(trials, i, absl::StrCat("fails: ", key.status().message()));
      continue;
    }
    ++trials.tried;
    if (!key->has_value()) continue;
    trials.opened.push_back(i);
    trials.master_key = **std::move(key);
    if (until == TryUntil::kFirstOpens) break;
  }
  return trials;
}

absl::Status NoneOpened(const SlotTrials& trials) {
  if (trials.active == 0) {
    return absl::DataLossError(
        "no LUKS key slot is active: no passphrase opens the image");
  }
  const std::string passed_over =
      trials.passed_over.empty()
          ? std::string()
          : absl::StrCat("; not tried: ", trials.passed_over);
  if (trials.tried > 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("wrong passphrase: it opens none of the ", trials.tried,
                     " active LUKS key slots tried", passed_over));
  }
  const std::string message =
      absl::StrCat("no active LUKS key slot can be tried", passed_over);
  return trials.too_costly ? absl::ResourceExhaustedError(message)
                           : absl::DataLossError(message);
}

absl::StatusOr<std::vector<std::byte>> SealKeySlot(
    const LuksHeader& header, const LuksKeySlot& slot, const Secret& passphrase,
    std::span<const std::byte> master_key) {
  ASSIGN_OR_RETURN(const CryptoHash hash,
                   CryptoHash::Named(header.hash_name()));
  ASSIGN_OR_RETURN(const auto cipher, MaterialCipher(header, slot, passphrase));
  ASSIGN_OR_RETURN(const Secret split, AfSplit(hash, master_key, slot.stripes));
  // Wiped should encrypting fail half-way.
  Secret material(header.KeyMaterialSectors(slot) * kLuksSectorSize);
  std::copy(split.bytes().begin(), split.bytes().end(),
            material.mutable_bytes().begin());
  RETURN_IF_ERROR(cipher->Encrypt(0, material.mutable_bytes()));
  return std::vector<std::byte>(material.bytes().begin(),
                                material.bytes().end());
}

}  // namespace qcow2
