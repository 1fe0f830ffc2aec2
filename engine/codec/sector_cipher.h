// Encrypting and decrypting sectors of a disk.
//
// Works on memory only, no I/O; through OpenSSL.
//
//   ASSIGN_OR_RETURN(const SectorCipherSpec spec,
//                    ParseLuksCipher("aes", "xts-plain64", key.size()));
//   ASSIGN_OR_RETURN(auto cipher, SectorCipher::Create(spec, key));
//   RETURN_IF_ERROR(cipher->Decrypt(host_offset / kCipherSectorSize, cluster));
#ifndef ENGINE_CODEC_SECTOR_CIPHER_H_
#define ENGINE_CODEC_SECTOR_CIPHER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/codec/sector_cipher_spec.h"

namespace qcow2 {

// What is encrypted at once, and what sector numbers count.
inline constexpr size_t kCipherSectorSize = 512;

// Encrypts and decrypts. All functions may be called from several threads at
// once. Keeps no copy of the key but what the cipher makes of it, and wipes
// that.
class SectorCipher {
 public:
  // InvalidArgument if `key` does not fit `spec`; Unimplemented for a hash that
  // essiv cannot have.
  static absl::StatusOr<std::unique_ptr<SectorCipher>> Create(
      const SectorCipherSpec& spec, std::span<const std::byte> key);
  // The cipher of images from before LUKS: AES-128 in CBC mode with plain64
  // vectors; the key is the password's first 16 bytes, zeros after its end.
  static absl::StatusOr<std::unique_ptr<SectorCipher>> CreateLegacyAes(
      std::span<const std::byte> password);
  ~SectorCipher();
  SectorCipher(const SectorCipher&) = delete;
  SectorCipher& operator=(const SectorCipher&) = delete;

  // Replaces `sectors`, whole sectors of which the first has number
  // `first_sector`, by what they encrypt or decrypt to. InvalidArgument if they
  // are not whole sectors or their numbers do not fit 64 bits. After Internal,
  // which is OpenSSL's failure, the bytes are undefined.
  absl::Status Encrypt(uint64_t first_sector,
                       std::span<std::byte> sectors) const;
  absl::Status Decrypt(uint64_t first_sector,
                       std::span<std::byte> sectors) const;

 private:
  class Lane;
  class LeasedLane;
  enum class Direction { kEncrypt, kDecrypt };

  explicit SectorCipher(std::unique_ptr<Lane> model);
  absl::Status Run(Direction direction, uint64_t first_sector,
                   std::span<std::byte> sectors) const;

  // Contexts of OpenSSL serve one thread at a time. There are as many lanes as
  // there were ever calls at once, all copies of the model.
  const std::unique_ptr<Lane> model_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Lane>> idle_lanes_;
};

}  // namespace qcow2

#endif  // ENGINE_CODEC_SECTOR_CIPHER_H_
