// From an encrypted image's passphrase to its cipher.
//
// Reads the image's LUKS header and key slots, nothing else.
#ifndef ENGINE_IMAGE_IMAGE_CHAIN_CIPHER_H_
#define ENGINE_IMAGE_IMAGE_CHAIN_CIPHER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "engine/codec/secret.h"
#include "engine/codec/sector_cipher.h"
#include "engine/image/header_area.h"
#include "engine/storage/file.h"

namespace qcow2 {

// The cipher of the guest data of the image in `file`, of which `area` is the
// header area. PermissionDenied, naming the file, if the passphrase is wrong;
// images with the old AES encryption hold nothing to tell that by, with those a
// wrong one makes a cipher that yields noise. DataLoss for a damaged LUKS
// header, InvalidArgument for an image that is not encrypted.
absl::StatusOr<std::unique_ptr<SectorCipher>> UnlockImage(
    const File& file, const HeaderArea& area, const Secret& passphrase);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_IMAGE_CHAIN_CIPHER_H_
