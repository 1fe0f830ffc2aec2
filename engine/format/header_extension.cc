#include "engine/format/header_extension.h"

#include <algorithm>

#include "engine/format/byte_order.h"

namespace qcow2 {
namespace {

constexpr uint64_t kExtensionHeaderSize = 8;
constexpr uint64_t kExtensionAlignment = 8;

constexpr uint32_t kKnownExtensions[] = {
    kExtensionBackingFormat, kExtensionFeatureNames, kExtensionBitmaps,
    kExtensionLuks, kExtensionDataFile};

uint64_t PaddingAfter(uint64_t length) {
  return (kExtensionAlignment - length % kExtensionAlignment) %
         kExtensionAlignment;
}

// Ends `result` at `offset`, where the extension whose type and length are
// given stands.
HeaderExtensions EndedBy(HeaderExtensions result, ExtensionAreaEnd end,
                         const HeaderExtension& extension) {
  result.end = end;
  result.end_offset = extension.offset;
  result.end_type = extension.type;
  result.end_length = extension.length;
  return result;
}

}  // namespace

std::string_view ExtensionTypeName(uint32_t type) {
  switch (type) {
    case kExtensionEnd:
      return "end of extensions";
    case kExtensionBackingFormat:
      return "backing file format name";
    case kExtensionFeatureNames:
      return "feature name table";
    case kExtensionBitmaps:
      return "bitmaps";
    case kExtensionLuks:
      return "LUKS header pointer";
    case kExtensionDataFile:
      return "external data file name";
    default:
      return "";
  }
}

const HeaderExtension* HeaderExtensions::Find(uint32_t type) const {
  const auto found =
      std::find_if(extensions.begin(), extensions.end(),
                   [type](const HeaderExtension& e) { return e.type == type; });
  return found == extensions.end() ? nullptr : &*found;
}

uint64_t HeaderExtensionsBegin(const Header& header,
                               std::span<const std::byte> first_cluster) {
  if (header.version < 3) return kHeaderLengthV2;
  if (header.header_length >= kHeaderLengthV3 &&
      header.header_length <= first_cluster.size()) {
    return header.header_length;
  }
  for (const uint32_t length : {kHeaderLengthKnown, kHeaderLengthV3}) {
    const uint32_t type = LoadBe32Padded(first_cluster, length);
    if (type != kExtensionEnd && !ExtensionTypeName(type).empty()) {
      return length;
    }
  }
  return 0;
}

uint64_t ExtensionAreaEndOffset(const Header& header, uint64_t cluster_size) {
  const uint64_t name = header.backing_file_offset.value();
  const bool name_in_cluster =
      name >= header.header_length && name < cluster_size;
  return name_in_cluster && name != 0 ? name : cluster_size;
}

HeaderExtensions DecodeHeaderExtensions(std::span<const std::byte> first_bytes,
                                        uint64_t begin, uint64_t area_end) {
  const uint64_t readable_end =
      std::min<uint64_t>(area_end, first_bytes.size());
  HeaderExtensions result;
  uint64_t offset = begin;
  while (offset < readable_end &&
         readable_end - offset >= kExtensionHeaderSize) {
    HeaderExtension extension;
    extension.offset = offset;
    extension.type = LoadBe32(&first_bytes[offset]);
    extension.length = LoadBe32(&first_bytes[offset + 4]);
    const uint64_t data_offset = offset + kExtensionHeaderSize;
    // Also of the marker that ends the list: programs refuse an image whose
    // marker claims more data than there is room for.
    if (extension.length > area_end - data_offset) {
      return EndedBy(std::move(result), ExtensionAreaEnd::kOverflow, extension);
    }
    if (extension.type == kExtensionEnd) {
      return EndedBy(std::move(result), ExtensionAreaEnd::kMarker, extension);
    }
    if (extension.length > readable_end - data_offset) {
      return EndedBy(std::move(result), ExtensionAreaEnd::kInputEnd, extension);
    }
    extension.data = first_bytes.subspan(data_offset, extension.length);
    const uint64_t padding_offset = data_offset + extension.length;
    extension.padding = first_bytes.subspan(
        padding_offset, std::min(PaddingAfter(extension.length),
                                 readable_end - padding_offset));
    offset = padding_offset + extension.padding.size();
    result.extensions.push_back(extension);
  }
  result.end = readable_end < area_end ? ExtensionAreaEnd::kInputEnd
                                       : ExtensionAreaEnd::kAreaEnd;
  result.end_offset = offset;
  return result;
}

std::vector<std::byte> EncodeHeaderExtension(const HeaderExtension& extension) {
  std::vector<std::byte> out(kExtensionHeaderSize);
  StoreBe32(&out[0], extension.type);
  StoreBe32(&out[4], static_cast<uint32_t>(extension.data.size()));
  out.insert(out.end(), extension.data.begin(), extension.data.end());
  if (!extension.padding.empty()) {
    out.insert(out.end(), extension.padding.begin(), extension.padding.end());
  } else {
    out.resize(out.size() + PaddingAfter(extension.data.size()));
  }
  return out;
}

std::vector<std::byte> EncodeHeaderExtension(uint32_t type,
                                             std::span<const std::byte> data) {
  HeaderExtension extension;
  extension.type = type;
  extension.data = data;
  return EncodeHeaderExtension(extension);
}

std::vector<uint32_t> RepeatedExtensions(const HeaderExtensions& extensions) {
  std::vector<uint32_t> repeated;
  for (uint32_t type : kKnownExtensions) {
    const auto count = std::count_if(
        extensions.extensions.begin(), extensions.extensions.end(),
        [type](const HeaderExtension& e) { return e.type == type; });
    if (count > 1) repeated.push_back(type);
  }
  return repeated;
}

}  // namespace qcow2
