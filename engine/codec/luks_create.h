// Making a LUKS area (version 1).
//
// Works on memory only, no I/O; asks for the time when that is to be measured.
#ifndef ENGINE_CODEC_LUKS_CREATE_H_
#define ENGINE_CODEC_LUKS_CREATE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/codec/crypto_hash.h"
#include "engine/codec/secret.h"
#include "engine/codec/sector_cipher.h"

namespace qcow2 {

// How hard passphrases are to guess.
struct LuksDerivation {
  // How often a passphrase is hashed, at least kMinIterations; 0: as often as
  // this processor can in `time`.
  uint32_t iterations = 0;
  std::chrono::milliseconds time{2000};
};

// The iterations to write for a key slot. InvalidArgument for too few.
absl::StatusOr<uint32_t> SlotIterations(const LuksDerivation& derivation,
                                        const CryptoHash& hash,
                                        size_t key_bytes);

// OK if a new slot may have `passphrase`. InvalidArgument if it is empty or has
// a zero byte, with which QEMU could not open the slot.
absl::Status CheckNewPassphrase(const Secret& passphrase);

// The defaults are those of qemu-img.
struct LuksCreateOptions {
  SectorCipherSpec cipher;
  // Of the passphrases and the key slots: a name CryptoHash knows.
  std::string hash = "sha256";
  LuksDerivation derivation;
};

struct NewLuks {
  // The whole area, up to the payload offset: header, key material of the first
  // slot, zeros for that of the seven others.
  std::vector<std::byte> area;
  // For the data: sectors are those of the host.
  std::unique_ptr<SectorCipher> cipher;
};

// A new area with a new random key, which `passphrase` opens through the first
// slot. InvalidArgument for options or a passphrase that cannot be had.
absl::StatusOr<NewLuks> CreateLuks(const LuksCreateOptions& options,
                                   const Secret& passphrase);

}  // namespace qcow2

#endif  // ENGINE_CODEC_LUKS_CREATE_H_
