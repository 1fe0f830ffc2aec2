#include "engine/image/header_area.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/format/header_extension.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

struct IssueText {
  HeaderIssue issue;
  const char* text;
};

// What keeps an image from being read at all. Other issues are the checker's.
constexpr IssueText kFatalIssues[] = {
    {kHeaderCutShort, "the file ends inside it, with bytes of it missing"},
    {kHeaderBadLength, "header_length at byte 100"},
    {kHeaderUnknownCompression, "compression_type at byte 104"},
    {kHeaderCompressionAgainstFeature,
     "compression_type at byte 104 contradicts the feature bit"},
    {kHeaderUnknownCrypt, "crypt_method at byte 32"},
    {kHeaderBackingNameTooLong, "backing_file_size at byte 16"},
    {kHeaderBackingNameOutside, "backing_file_offset at byte 8"},
    {kHeaderL1Unaligned, "l1_table_offset at byte 40"},
    {kHeaderL1TooLarge, "l1_size at byte 36"},
    {kHeaderL1TooSmall, "l1_size at byte 36 is too small for the disk"},
    {kHeaderRefcountTableUnaligned, "refcount_table_offset at byte 48"},
    {kHeaderRefcountTableEmpty, "refcount_table_clusters at byte 56"},
    {kHeaderRefcountTableTooLarge, "refcount_table_clusters at byte 56"},
    {kHeaderTooManySnapshots, "nb_snapshots at byte 60"},
    {kHeaderSnapshotsUnaligned, "snapshots_offset at byte 64"},
};

// The header's value that `issue` is about.
uint64_t ValueOf(const Header& header, HeaderIssue issue) {
  switch (issue) {
    case kHeaderCutShort:
      return header.bytes_missing;
    case kHeaderBadLength:
      return header.header_length;
    case kHeaderUnknownCrypt:
      return header.crypt_method;
    case kHeaderBackingNameTooLong:
      return header.backing_file_size;
    case kHeaderBackingNameOutside:
      return header.backing_file_offset.value();
    case kHeaderL1Unaligned:
      return header.l1_table_offset.value();
    case kHeaderL1TooLarge:
    case kHeaderL1TooSmall:
      return header.l1_size;
    case kHeaderRefcountTableUnaligned:
      return header.refcount_table_offset.value();
    case kHeaderRefcountTableEmpty:
    case kHeaderRefcountTableTooLarge:
      return header.refcount_table_clusters;
    case kHeaderTooManySnapshots:
      return header.nb_snapshots;
    case kHeaderSnapshotsUnaligned:
      return header.snapshots_offset.value();
    default:
      return header.compression_type;
  }
}

absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

absl::Status Invalid(const File& file, std::string_view what, uint64_t value) {
  return absl::InvalidArgumentError(
      absl::StrCat(file.name(), ": bad header: ", View(what), " (value 0x",
                   absl::Hex(value), ")"));
}

absl::Status CheckKind(const File& file, const Header& header,
                       size_t bytes_there) {
  if (bytes_there < sizeof(header.magic)) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.name(), ": not a qcow2 image: the file has ",
                     bytes_there, " bytes"));
  }
  if (header.magic != kMagic) {
    return absl::InvalidArgumentError(absl::StrCat(
        file.name(), ": not a qcow2 image: the file begins with 0x",
        absl::Hex(header.magic, absl::kZeroPad8)));
  }
  if (header.version != 2 && header.version != 3) {
    return Invalid(file, "version at byte 4 is neither 2 nor 3",
                   header.version);
  }
  return absl::OkStatus();
}

// The geometry, of which one field may say what cannot be.
absl::StatusOr<Geometry> CheckGeometry(const File& file, const Header& header) {
  absl::StatusOr<Geometry> geometry = GeometryOf(header);
  if (geometry.ok()) return geometry;
  return absl::Status(
      geometry.status().code(),
      absl::StrCat(file.name(), ": bad header: ", geometry.status().message(),
                   " (cluster_bits is at byte 20, "
                   "refcount_order at byte 96)"));
}

absl::Status CheckFeatures(const File& file, const HeaderArea& area) {
  const uint64_t unknown =
      area.header.incompatible_features & ~kKnownIncompatibleFeatures;
  if (unknown == 0) return absl::OkStatus();
  const std::vector<FeatureName> names = area.feature_names();
  std::vector<std::string> unknown_names;
  for (uint32_t bit = 0; bit < 64; ++bit) {
    if ((unknown >> bit & 1) == 0) continue;
    const std::string_view name =
        NameOfFeature(FeatureKind::kIncompatible, bit, names);
    unknown_names.push_back(
        name.empty() ? absl::StrCat("incompatible feature bit ", bit)
                     : absl::StrCat("'", absl::Utf8SafeCEscape(View(name)),
                                    "' (bit ", bit, ")"));
  }
  return absl::UnimplementedError(absl::StrCat(
      file.name(), ": the image needs features that are not known here: ",
      absl::StrJoin(unknown_names, ", "),
      "; the header's incompatible_features at byte 72 are 0x",
      absl::Hex(area.header.incompatible_features)));
}

absl::Status CheckFields(const File& file, const Header& header) {
  const uint64_t issues = HeaderIssues(header);
  for (const IssueText& fatal : kFatalIssues) {
    if ((issues & fatal.issue) != 0) {
      return Invalid(file, fatal.text, ValueOf(header, fatal.issue));
    }
  }
  return absl::OkStatus();
}

void Append(const std::vector<std::byte>& piece,
            std::vector<std::byte>& bytes) {
  bytes.insert(bytes.end(), piece.begin(), piece.end());
}

}  // namespace

const StoredExtension* HeaderArea::Find(uint32_t type) const {
  const auto found =
      std::find_if(extensions.begin(), extensions.end(),
                   [type](const auto& e) { return e.type == type; });
  return found == extensions.end() ? nullptr : &*found;
}

std::optional<std::string> HeaderArea::TextOf(uint32_t type) const {
  const StoredExtension* extension = Find(type);
  if (extension == nullptr) return std::nullopt;
  std::string text;
  std::transform(extension->data.begin(), extension->data.end(),
                 std::back_inserter(text),
                 [](std::byte b) { return static_cast<char>(b); });
  return text;
}

void HeaderArea::Set(uint32_t type, std::span<const std::byte> data) {
  StoredExtension extension{type, {data.begin(), data.end()}};
  for (StoredExtension& old : extensions) {
    if (old.type == type) {
      old = std::move(extension);
      return;
    }
  }
  extensions.insert(extensions.begin(), std::move(extension));
}

void HeaderArea::Set(uint32_t type, std::string_view text) {
  Set(type, std::as_bytes(std::span(text)));
}

void HeaderArea::Remove(uint32_t type) {
  std::erase_if(extensions, [type](const auto& e) { return e.type == type; });
}

std::vector<FeatureName> HeaderArea::feature_names() const {
  const StoredExtension* table = Find(kExtensionFeatureNames);
  if (table == nullptr) return {};
  return DecodeFeatureNames(table->data);
}

absl::StatusOr<std::vector<std::byte>> HeaderArea::Encode() const {
  Header encoded = header;
  uint64_t end = encoded.encoded_size();
  std::vector<std::byte> tail;
  for (const StoredExtension& extension : extensions) {
    Append(EncodeHeaderExtension(extension.type, extension.data), tail);
  }
  Append(EncodeHeaderExtension(kExtensionEnd, {}), tail);
  end += tail.size();
  encoded.backing_file_offset = HostOffset(backing_name.empty() ? 0 : end);
  encoded.backing_file_size = static_cast<uint32_t>(backing_name.size());
  const auto name = std::as_bytes(std::span(backing_name));
  tail.insert(tail.end(), name.begin(), name.end());
  std::vector<std::byte> bytes = encoded.Encode();
  bytes.insert(bytes.end(), tail.begin(), tail.end());
  if (bytes.size() > uint64_t{1} << header.cluster_bits) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the header, its extensions and the backing file's name take ",
        bytes.size(), " bytes, more than the first cluster's ",
        uint64_t{1} << header.cluster_bits));
  }
  return bytes;
}

absl::StatusOr<HeaderArea> ReadHeaderArea(const File& file) {
  std::vector<std::byte> bytes(kHeaderLengthKnown);
  ASSIGN_OR_RETURN(size_t got, file.Pread(0, bytes));
  bytes.resize(got);
  HeaderArea area;
  area.header = Header::Decode(bytes);
  RETURN_IF_ERROR(CheckKind(file, area.header, got));
  RETURN_IF_ERROR(CheckGeometry(file, area.header).status());
  bytes.resize(uint64_t{1} << area.header.cluster_bits);
  ASSIGN_OR_RETURN(got, file.Pread(0, bytes));
  bytes.resize(got);
  area.header = Header::Decode(bytes);
  // The header may have changed between the two reads.
  RETURN_IF_ERROR(CheckKind(file, area.header, got));
  ASSIGN_OR_RETURN(const Geometry geometry, CheckGeometry(file, area.header));
  const HeaderExtensions extensions = DecodeHeaderExtensions(
      bytes, area.header.header_length,
      ExtensionAreaEndOffset(area.header, geometry.cluster_size()));
  for (const HeaderExtension& extension : extensions.extensions) {
    area.extensions.push_back(
        {extension.type, {extension.data.begin(), extension.data.end()}});
  }
  RETURN_IF_ERROR(CheckFeatures(file, area));
  RETURN_IF_ERROR(CheckFields(file, area.header));
  if (extensions.end == ExtensionAreaEnd::kOverflow) {
    return Invalid(file, "a header extension is longer than its area",
                   extensions.end_offset);
  }
  const uint64_t name_begin = area.header.backing_file_offset.value();
  if (name_begin != 0) {
    if (name_begin > bytes.size() ||
        area.header.backing_file_size > bytes.size() - name_begin) {
      return Invalid(file, "backing_file_offset at byte 8", name_begin);
    }
    area.backing_name.assign(
        reinterpret_cast<const char*>(bytes.data()) + name_begin,
        area.header.backing_file_size);
  }
  return area;
}

absl::StatusOr<Geometry> GeometryOf(const Header& header) {
  return Geometry::Create(header.cluster_bits, header.refcount_order,
                          header.has_extended_l2());
}

}  // namespace qcow2
