#include "engine/image/image_chain_cipher.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/codec/luks.h"
#include "engine/image/luks_in_image.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

absl::StatusOr<std::unique_ptr<SectorCipher>> UnlockLuksImage(
    const File& file, const HeaderArea& area, const Secret& passphrase) {
  ASSIGN_OR_RETURN(const LuksArea luks_area, LuksAreaOf(file, area));
  absl::StatusOr<OpenedLuks> opened = OpenLuks(luks_area, passphrase);
  if (!opened.ok()) {
    return absl::Status(
        opened.status().code(),
        absl::StrCat(file.name(), ": ", opened.status().message()));
  }
  return std::move(opened->cipher);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SectorCipher>> UnlockImage(
    const File& file, const HeaderArea& area, const Secret& passphrase) {
  switch (area.header.crypt_method) {
    case kCryptAes:
      return SectorCipher::CreateLegacyAes(passphrase.bytes());
    case kCryptLuks:
      return UnlockLuksImage(file, area, passphrase);
    default:
      return absl::InvalidArgumentError(
          absl::StrCat(file.name(), ": the image is not encrypted"));
  }
}

}  // namespace qcow2
