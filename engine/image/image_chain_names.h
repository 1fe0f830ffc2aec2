// What an image says of the files that belong to it: where they are and what
// format they have.
//
// Reads the beginning of a file to tell its format; opens nothing.
#ifndef ENGINE_IMAGE_IMAGE_CHAIN_NAMES_H_
#define ENGINE_IMAGE_IMAGE_CHAIN_NAMES_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/image/header_area.h"
#include "engine/storage/file.h"

namespace qcow2 {

// How a disk is stored in a file.
enum class DiskFormat {
  kAuto,  // what the file begins with says it
  kQcow2,
  kRaw,
};

// "auto", "qcow2" or "raw".
std::string_view NameOfFormat(DiskFormat format);

// The path of the file that the image at `image_path` calls `name`: relative
// names start from the image's folder, "file:" before an absolute path is taken
// off. Unimplemented, quoting the name, for one that is no path ("json:...",
// "nbd://..." and whatever else has a colon before the first slash);
// InvalidArgument for a name that is empty or has a zero byte in it.
absl::StatusOr<std::string> PathOfNamedFile(std::string_view image_path,
                                            std::string_view name);

// The format the image gives for its backing file; kAuto where it gives none.
// Unimplemented, quoting it, for any but qcow2 and raw.
absl::StatusOr<DiskFormat> BackingFormatOf(const HeaderArea& area);

// kQcow2 or kRaw, by the file's first bytes. Unimplemented for formats that are
// neither and can be told from a raw disk. What is raw by this may still be
// anything: guests write what they like to the beginning of a raw disk.
absl::StatusOr<DiskFormat> ProbeFormat(const File& file);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_IMAGE_CHAIN_NAMES_H_
