#include "engine/image/image_chain_cipher.h"

#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/codec/luks.h"
#include "engine/format/header_extension.h"
#include "engine/format/luks_extension.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

absl::Status Of(const File& file, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(file.name(), ": ", status.message()));
}

absl::StatusOr<LuksArea> FindLuksArea(const File& file,
                                      const HeaderArea& area) {
  const StoredExtension* const stored = area.Find(kExtensionLuks);
  if (stored == nullptr) {
    return absl::DataLossError(
        absl::StrCat(file.name(),
                     ": the header extension that says where the LUKS header "
                     "lies is missing"));
  }
  const LuksExtension extension = LuksExtension::Decode(stored->data);
  ASSIGN_OR_RETURN(const Geometry geometry, GeometryOf(area.header));
  if (LuksExtensionIssues(extension, stored->data.size(), geometry) != 0) {
    return absl::DataLossError(absl::StrCat(
        file.name(), ": bad header extension for LUKS: offset 0x",
        absl::Hex(extension.offset.value()), ", length ", extension.length));
  }
  return LuksArea{.length_bytes = extension.length,
                  .read = [&file, begin = extension.offset.value()](
                              uint64_t offset, std::span<std::byte> buffer) {
                    return ReadZeroFilled(file, begin + offset, buffer);
                  }};
}

}  // namespace

absl::StatusOr<std::unique_ptr<SectorCipher>> UnlockImage(
    const File& file, const HeaderArea& area, const Secret& passphrase) {
  if (area.header.crypt_method == kCryptAes) {
    return SectorCipher::CreateLegacyAes(passphrase.bytes());
  }
  if (area.header.crypt_method != kCryptLuks) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.name(), ": the image is not encrypted"));
  }
  ASSIGN_OR_RETURN(const LuksArea luks_area, FindLuksArea(file, area));
  absl::StatusOr<OpenedLuks> luks = OpenLuks(luks_area, passphrase);
  if (!luks.ok()) return Of(file, luks.status());
  return std::move(luks->cipher);
}

}  // namespace qcow2
