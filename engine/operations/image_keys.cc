#include "engine/operations/image_keys.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/image/header_area.h"
#include "engine/image/header_store.h"
#include "engine/image/luks_in_image.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

absl::Status Named(const File& file, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(file.name(), ": ", status.message()));
}

absl::StatusOr<HeaderArea> ReadAreaWithKeys(const File& file) {
  ASSIGN_OR_RETURN(HeaderArea area, ReadHeaderArea(file));
  if (area.header.crypt_method == kCryptAes) {
    return absl::FailedPreconditionError(absl::StrCat(
        file.name(),
        ": the image has the old AES encryption, which has no key slots: its "
        "passphrase is the key itself and stays as it is"));
  }
  if (area.header.crypt_method == kCryptNone) {
    return absl::FailedPreconditionError(absl::StrCat(
        file.name(), ": the image is not encrypted and has no key slots"));
  }
  return area;
}

absl::StatusOr<HeaderArea> ReadAreaToChange(const File& file) {
  ASSIGN_OR_RETURN(HeaderArea area, ReadAreaWithKeys(file));
  if (area.header.has_incompatible(kIncompatibleCorrupt)) {
    return absl::FailedPreconditionError(
        absl::StrCat(file.name(),
                     ": the image is marked corrupt and may only be read; "
                     "repair it first"));
  }
  return area;
}

// A writer clears the bits of what it does not know, since that may no longer
// be true.
absl::Status ClearUnknownFeatures(File& file, HeaderArea area) {
  const uint64_t known =
      area.header.autoclear_features & kKnownAutoclearFeatures;
  if (area.header.autoclear_features == known) return absl::OkStatus();
  HeaderStore store(file, area);
  area.header.autoclear_features = known;
  return store.Switch(std::move(area));
}

absl::Status Carry(File& file, const HeaderArea& area,
                   const LuksChange& change) {
  RETURN_IF_ERROR(ClearUnknownFeatures(file, area));
  return WriteLuksChange(change, area, file);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PosixFile>> OpenImageKeys(
    const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<PosixFile> file,
                   PosixFile::Open(path, {.writable = true}));
  RETURN_IF_ERROR(file->Lock(kWriterLocks));
  return file;
}

absl::StatusOr<LuksHeader> ReadImageKeys(const File& file) {
  ASSIGN_OR_RETURN(const HeaderArea area, ReadAreaWithKeys(file));
  ASSIGN_OR_RETURN(const LuksArea luks, LuksAreaOf(file, area));
  absl::StatusOr<LuksHeader> header = ReadLuksHeader(luks);
  if (!header.ok()) return Named(file, header.status());
  return header;
}

absl::StatusOr<size_t> AddImageKey(File& file, const Secret& known,
                                   const Secret& added,
                                   const LuksAddOptions& options) {
  ASSIGN_OR_RETURN(const HeaderArea area, ReadAreaToChange(file));
  ASSIGN_OR_RETURN(const LuksArea luks, LuksAreaOf(file, area));
  const absl::StatusOr<LuksChange> change =
      AddLuksKey(luks, known, added, options);
  if (!change.ok()) return Named(file, change.status());
  RETURN_IF_ERROR(Carry(file, area, *change));
  return change->slots.front();
}

absl::Status RemoveImageKeySlot(File& file, size_t slot) {
  ASSIGN_OR_RETURN(const HeaderArea area, ReadAreaToChange(file));
  ASSIGN_OR_RETURN(const LuksArea luks, LuksAreaOf(file, area));
  const absl::StatusOr<LuksChange> change = RemoveLuksSlot(luks, slot);
  if (!change.ok()) return Named(file, change.status());
  return Carry(file, area, *change);
}

absl::StatusOr<std::vector<size_t>> RemoveImagePassphrase(
    File& file, const Secret& passphrase) {
  ASSIGN_OR_RETURN(const HeaderArea area, ReadAreaToChange(file));
  ASSIGN_OR_RETURN(const LuksArea luks, LuksAreaOf(file, area));
  const absl::StatusOr<LuksChange> change =
      RemoveLuksPassphrase(luks, passphrase);
  if (!change.ok()) return Named(file, change.status());
  RETURN_IF_ERROR(Carry(file, area, *change));
  return change->slots;
}

}  // namespace qcow2
