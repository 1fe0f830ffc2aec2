#include "engine/image/luks_in_image.h"

#include <cstdint>
#include <limits>

#include "absl/strings/str_cat.h"
#include "engine/format/header_extension.h"
#include "engine/format/luks_extension.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

absl::StatusOr<LuksExtension> FindLuks(const File& file,
                                       const HeaderArea& area) {
  if (area.header.crypt_method != kCryptLuks) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.name(), ": the image has no LUKS encryption"));
  }
  const StoredExtension* stored = area.Find(kExtensionLuks);
  if (stored == nullptr) {
    return absl::DataLossError(absl::StrCat(
        file.name(), ": no header extension says where the LUKS header is"));
  }
  ASSIGN_OR_RETURN(const Geometry geometry, GeometryOf(area.header));
  const LuksExtension extension = LuksExtension::Decode(stored->data);
  const uint64_t offset = extension.offset.value();
  const bool overflows =
      extension.length > std::numeric_limits<uint64_t>::max() - offset;
  if (overflows ||
      LuksExtensionIssues(extension, stored->data.size(), geometry) != 0) {
    return absl::DataLossError(
        absl::StrCat(file.name(), ": header extension of ", stored->data.size(),
                     " bytes with the LUKS header at offset ", offset,
                     ", length ", extension.length, ", cannot be used"));
  }
  return extension;
}

}  // namespace

absl::StatusOr<LuksArea> LuksAreaOf(const File& file, const HeaderArea& area) {
  ASSIGN_OR_RETURN(const LuksExtension extension, FindLuks(file, area));
  const uint64_t begin = extension.offset.value();
  return LuksArea{extension.length,
                  [&file, begin](uint64_t offset, std::span<std::byte> buffer) {
                    const absl::StatusOr<size_t> got =
                        file.Pread(begin + offset, buffer);
                    if (!got.ok()) return got.status();
                    if (*got == buffer.size()) return absl::OkStatus();
                    // Whoever reads the area says of which file it is.
                    return absl::DataLossError(absl::StrCat(
                        "the file ends inside the LUKS area, ", *got,
                        " bytes after offset ", begin + offset));
                  }};
}

absl::Status WriteLuksChange(const LuksChange& change, const HeaderArea& area,
                             File& file) {
  ASSIGN_OR_RETURN(const LuksExtension extension, FindLuks(file, area));
  for (const LuksWrite& write : change.writes) {
    if (write.offset > extension.length ||
        write.bytes.size() > extension.length - write.offset) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a write of ", write.bytes.size(), " bytes at offset ", write.offset,
          " ends past the LUKS area of ", extension.length));
    }
    RETURN_IF_ERROR(
        file.Pwrite(extension.offset.value() + write.offset, write.bytes));
    RETURN_IF_ERROR(file.Flush());
  }
  return absl::OkStatus();
}

}  // namespace qcow2
