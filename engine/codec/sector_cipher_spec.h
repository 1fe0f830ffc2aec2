// Which cipher a disk's sectors are encrypted with, in all but the key.
//
// Names and numbers only, no cryptography.
#ifndef ENGINE_CODEC_SECTOR_CIPHER_SPEC_H_
#define ENGINE_CODEC_SECTOR_CIPHER_SPEC_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace qcow2 {

// How the AES blocks of a sector are chained.
enum class CipherMode {
  kCbc,
  // The key is two AES keys: the first for the data, the second for the tweak.
  kXts,
};

// How a sector's number becomes its initialization vector.
enum class IvGenerator {
  kPlain,    // the low 32 bits, little-endian
  kPlain64,  // all 64 bits, little-endian
  kEssiv,    // those, encrypted with AES under a hash of the key
};

// A cipher in all but the key: AES, chained and with vectors as it says.
struct SectorCipherSpec {
  CipherMode mode = CipherMode::kXts;
  IvGenerator iv_generator = IvGenerator::kPlain64;
  // The hash of kEssiv, whose length must be that of an AES key: sha256, md5.
  std::string essiv_hash;
  // Of the key: 16, 24 or 32, in XTS mode twice that.
  size_t key_bytes = 64;

  friend bool operator==(const SectorCipherSpec&,
                         const SectorCipherSpec&) = default;
};

// What a LUKS header's cipher name ("aes"), cipher mode ("xts-plain64",
// "cbc-essiv:sha256") and key length say. Unimplemented, naming it, for another
// cipher, mode or generator; DataLoss for a mode that cannot be read or a key
// length the cipher does not have.
absl::StatusOr<SectorCipherSpec> ParseLuksCipher(std::string_view cipher_name,
                                                 std::string_view cipher_mode,
                                                 uint64_t key_bytes);

// The cipher mode of a LUKS header that says what `spec` does.
std::string LuksCipherMode(const SectorCipherSpec& spec);

}  // namespace qcow2

#endif  // ENGINE_CODEC_SECTOR_CIPHER_SPEC_H_
