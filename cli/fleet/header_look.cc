#include "cli/fleet/header_look.h"

#include <algorithm>
#include <cstdint>

#include "engine/format/byte_order.h"
#include "engine/format/header.h"
#include "engine/format/header_extension.h"

namespace qcow2::cli {
namespace {

// Fields that may be wrong in what still counts as a header. The ten questions
// below are answered with no by five fields when nothing but zeros follows the
// magic, by nearly all of them when it is followed by text or random bytes.
constexpr int kMaxWrongFields = 3;

bool IsTableOffset(HostOffset offset) {
  return offset.value() != 0 && offset.value() % 512 == 0 &&
         offset.value() < kMaxHostOffset;
}

bool HasPlausibleSnapshots(const Header& header) {
  return header.nb_snapshots <= kMaxSnapshots &&
         header.snapshots_offset.value() % 512 == 0;
}

bool HasPlausibleBackingName(const Header& header) {
  return header.backing_file_size <= kMaxBackingNameBytes &&
         header.backing_file_offset.value() < (uint64_t{2} << 20);
}

bool HasPlausibleVersion3Fields(const Header& header) {
  return header.version < 3 || (header.refcount_order <= 6 &&
                                header.header_length >= kHeaderLengthV3 &&
                                header.header_length % 8 == 0);
}

int WrongFields(const Header& header) {
  const bool answers[] = {
      header.version == 2 || header.version == 3,
      header.cluster_bits >= 9 && header.cluster_bits <= 21,
      header.size % 512 == 0,
      header.crypt_method <= kCryptLuks,
      IsTableOffset(header.l1_table_offset),
      IsTableOffset(header.refcount_table_offset),
      header.refcount_table_clusters > 0 &&
          header.refcount_table_clusters <= kMaxRefcountTableBytes / 512,
      HasPlausibleSnapshots(header),
      HasPlausibleBackingName(header),
      HasPlausibleVersion3Fields(header),
  };
  return static_cast<int>(std::ranges::count(answers, false));
}

std::string TextOf(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    if (byte == std::byte{0}) break;
    text += static_cast<char>(byte);
  }
  return text;
}

std::string BackingName(const Header& header,
                        std::span<const std::byte> first_bytes) {
  const uint64_t offset = header.backing_file_offset.value();
  const uint64_t length = header.backing_file_size;
  if (offset == 0 || length == 0 || !HasPlausibleBackingName(header) ||
      offset + length > first_bytes.size()) {
    return {};
  }
  return TextOf(first_bytes.subspan(offset, length));
}

std::string ExtensionText(const HeaderExtensions& extensions, uint32_t type) {
  const HeaderExtension* const extension = extensions.Find(type);
  return extension == nullptr ? "" : TextOf(extension->data);
}

void FindNames(const Header& header, std::span<const std::byte> first_bytes,
               HeaderLook& look) {
  look.backing_file = BackingName(header, first_bytes);
  if (header.cluster_bits < 9 || header.cluster_bits > 21) return;
  const uint64_t end =
      ExtensionAreaEndOffset(header, uint64_t{1} << header.cluster_bits);
  const HeaderExtensions extensions =
      DecodeHeaderExtensions(first_bytes, header.header_length, end);
  look.backing_format = ExtensionText(extensions, kExtensionBackingFormat);
  if (header.has_external_data_file()) {
    look.data_file = ExtensionText(extensions, kExtensionDataFile);
  }
}

}  // namespace

HeaderLook LookAtHeader(std::span<const std::byte> first_bytes) {
  if (first_bytes.size() < sizeof kMagic ||
      LoadBe32(first_bytes.data()) != kMagic) {
    return {};
  }
  const Header header = Header::Decode(first_bytes);
  HeaderLook look;
  look.look =
      WrongFields(header) > kMaxWrongFields ? Look::kDoubtful : Look::kImage;
  if (look.look == Look::kImage) FindNames(header, first_bytes, look);
  return look;
}

}  // namespace qcow2::cli
