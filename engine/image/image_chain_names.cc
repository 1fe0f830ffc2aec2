#include "engine/image/image_chain_names.h"

#include <array>
#include <cstddef>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/format/byte_order.h"
#include "engine/format/header_extension.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// A name as messages show it, whatever bytes an image has there.
std::string Quoted(std::string_view name) {
  return absl::StrCat(
      "'", absl::Utf8SafeCEscape(absl::string_view(name.data(), name.size())),
      "'");
}

// How files of other formats begin.
struct OtherFormat {
  std::string_view begins_with;
  const char* name;
};
constexpr OtherFormat kOtherFormats[] = {
    {std::string_view("QED\0", 4), "QED"},
    {"KDMV", "VMDK"},
    {"COWD", "VMDK"},
    {"vhdxfile", "VHDX"},
    {"conectix", "VHD"},
};
constexpr size_t kProbedBytes = 8;

}  // namespace

std::string_view NameOfFormat(DiskFormat format) {
  switch (format) {
    case DiskFormat::kAuto:
      return "auto";
    case DiskFormat::kQcow2:
      return "qcow2";
    case DiskFormat::kRaw:
      return "raw";
  }
  return "unknown";
}

absl::StatusOr<std::string> PathOfNamedFile(std::string_view image_path,
                                            std::string_view name) {
  constexpr std::string_view kFileScheme = "file:";
  if (name.empty() || name.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("The image names a file ", Quoted(name),
                     ", which is no name a file can have"));
  }
  if (name.starts_with(kFileScheme) &&
      name.substr(kFileScheme.size()).starts_with('/')) {
    return std::string(name.substr(kFileScheme.size()));
  }
  const size_t colon = name.find(':');
  if (colon != std::string_view::npos && colon < name.find('/')) {
    return absl::UnimplementedError(
        absl::StrCat("The image names ", Quoted(name),
                     ": only files named by their path can be opened, not '",
                     absl::string_view(name.data(), colon), ":' names"));
  }
  if (name.front() == '/') return std::string(name);
  const size_t slash = image_path.rfind('/');
  if (slash == std::string_view::npos) return std::string(name);
  return std::string(image_path.substr(0, slash + 1)) + std::string(name);
}

absl::StatusOr<DiskFormat> BackingFormatOf(const HeaderArea& area) {
  const std::optional<std::string> format =
      area.TextOf(kExtensionBackingFormat);
  if (!format.has_value() || format->empty()) return DiskFormat::kAuto;
  if (*format == "qcow2") return DiskFormat::kQcow2;
  if (*format == "raw") return DiskFormat::kRaw;
  return absl::UnimplementedError(
      absl::StrCat("The backing file's format is ", Quoted(*format),
                   "; only qcow2 and raw can be read"));
}

absl::StatusOr<DiskFormat> ProbeFormat(const File& file) {
  std::array<std::byte, kProbedBytes> bytes = {};
  ASSIGN_OR_RETURN(const size_t got, file.Pread(0, bytes));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), got);
  for (const OtherFormat& other : kOtherFormats) {
    if (!text.starts_with(other.begins_with)) continue;
    return absl::UnimplementedError(
        absl::StrCat("'", file.name(), "' looks like a ", other.name,
                     " image; only qcow2 and raw can be read"));
  }
  if (got < kProbedBytes || LoadBe32(bytes.data()) != kMagic) {
    return DiskFormat::kRaw;
  }
  if (LoadBe32(bytes.data() + 4) == 1) {
    return absl::UnimplementedError(absl::StrCat(
        "'", file.name(),
        "' is an image of qcow, version 1; only qcow2 and raw can be read"));
  }
  return DiskFormat::kQcow2;
}

}  // namespace qcow2
