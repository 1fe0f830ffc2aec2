#include "engine/image/image_chain_cipher.h"

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

namespace qcow2 {

absl::StatusOr<std::unique_ptr<SectorCipher>> UnlockImage(
    const File& file, const HeaderArea& area, const Secret& passphrase) {
  switch (area.header.crypt_method) {
    case kCryptAes:
      return SectorCipher::CreateLegacyAes(passphrase.bytes());
    case kCryptLuks:
      return absl::UnimplementedError(
          absl::StrCat(file.name(), ": LUKS encryption"));
    default:
      return absl::InvalidArgumentError(
          absl::StrCat(file.name(), ": the image is not encrypted"));
  }
}

}  // namespace qcow2
