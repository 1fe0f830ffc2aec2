// The header extensions with what is in them, and the LUKS header one of them
// leads to.
#include "checker/printable.h"
#include "cli/tool/dump/dump_state.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/feature_name_table.h"
#include "engine/format/header_extension.h"
#include "engine/format/luks_extension.h"
#include "engine/format/luks_header.h"

namespace qcow2::tool {
namespace {

constexpr IssueText kBitmapExtensionIssues[] = {
    {kBitmapExtensionBadLength, "length: not 24"},
    {kBitmapExtensionReservedSet, "reserved: not zero"},
    {kBitmapExtensionNoBitmaps, "nb_bitmaps: 0"},
    {kBitmapExtensionTooManyBitmaps, "nb_bitmaps: over 65535"},
    {kBitmapExtensionDirectoryUnaligned,
     "directory_offset: not cluster aligned"},
    {kBitmapExtensionDirectoryTooLarge, "directory_size: over 64 MiB"},
    {kBitmapExtensionDirectoryTooSmall,
     "directory_size: too small for that many bitmaps"},
};

constexpr IssueText kLuksExtensionIssues[] = {
    {kLuksExtensionBadLength, "length: not 16"},
    {kLuksExtensionUnaligned, "offset: not cluster aligned"},
    {kLuksExtensionOffsetZero, "offset: 0"},
    {kLuksExtensionAreaTooSmall, "length: no room for a LUKS header"},
};

constexpr IssueText kLuksIssues[] = {
    {kLuksBadMagic, "magic: not that of LUKS"},
    {kLuksBadVersion, "version: not 1"},
    {kLuksNameNotTerminated, "a name fills its field"},
    {kLuksNameEmpty, "a name is empty"},
    {kLuksNoKeyBytes, "key_bytes: 0"},
    {kLuksKeyTooLong, "key_bytes: over 512"},
    {kLuksDigestIterationsZero, "digest iterations: 0"},
    {kLuksPayloadInHeader, "payload_sector: inside the header"},
    {kLuksNoActiveSlot, "no key slot is active"},
};

constexpr IssueText kLuksSlotIssues[] = {
    {kLuksSlotBadState, "neither active nor inactive"},
    {kLuksSlotBadStripes, "stripes: not 4000"},
    {kLuksSlotIterationsZero, "iterations: 0"},
    {kLuksSlotInsideHeader, "key material inside the header"},
    {kLuksSlotOutsideArea, "key material past the LUKS area"},
    {kLuksSlotInsidePayload, "key material past the payload offset"},
    {kLuksSlotOverlap, "key material overlaps another slot's"},
};

std::string AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void TellFeatureNames(std::span<const std::byte> data,
                      const FieldTeller& tell) {
  static constexpr const char* kKinds[] = {"incompatible", "compatible",
                                           "autoclear"};
  const std::vector<FeatureName> rows = DecodeFeatureNames(data);
  for (size_t i = 0; i < rows.size(); ++i) {
    const FeatureName& row = rows[i];
    tell.Text("feature name", 8 + i * kFeatureNameRowSize, kFeatureNameRowSize,
              std::string(row.name()),
              std::string(row.kind < 3 ? kKinds[row.kind] : "unknown") +
                  " bit " + std::to_string(row.bit));
  }
}

void TellBitmapExtension(const HeaderExtension& extension,
                         const FieldTeller& tell) {
  const BitmapExtension bitmaps = BitmapExtension::Decode(extension.data);
  tell.Number("nb_bitmaps", 8, 4, bitmaps.nb_bitmaps, "persistent bitmaps");
  tell.Number("reserved", 12, 4, bitmaps.reserved, "zero");
  tell.Number("directory_size", 16, 8, bitmaps.directory_size,
              "bytes of the bitmap directory");
  tell.Hexadecimal("directory_offset", 24, 8, bitmaps.directory_offset.value(),
                   "where it is; cluster aligned");
  if (tell.state.geometry) {
    TellIssues(
        BitmapExtensionIssues(bitmaps, extension.length, *tell.state.geometry),
        kBitmapExtensionIssues, tell.state.sink);
  }
}

void TellLuksExtension(const HeaderExtension& extension,
                       const FieldTeller& tell) {
  const LuksExtension luks = LuksExtension::Decode(extension.data);
  tell.Hexadecimal("offset", 8, 8, luks.offset.value(),
                   "where the LUKS header is; cluster aligned");
  tell.Number("length", 16, 8, luks.length,
              "bytes of the header and its key material");
  if (tell.state.geometry) {
    TellIssues(
        LuksExtensionIssues(luks, extension.length, *tell.state.geometry),
        kLuksExtensionIssues, tell.state.sink);
  }
}

void TellExtension(DumpState& state, const HeaderExtension& extension) {
  const std::string_view name = ExtensionTypeName(extension.type);
  DumpStructure structure;
  structure.kind = "extension";
  structure.title =
      "Extension \"" + (name.empty() ? "unknown" : std::string(name)) + "\"";
  structure.offset = extension.offset;
  structure.length = 8 + extension.data.size() + extension.padding.size();
  structure.details["type"] = checker::Hex(extension.type);
  structure.details["name"] = name;
  state.sink.Begin(structure);
  const FieldTeller tell{state, extension.offset};
  tell.Hexadecimal("type", 0, 4, extension.type,
                   name.empty() ? "unknown; kept as it is" : std::string(name));
  tell.Number("length", 4, 4, extension.length, "bytes of data");
  switch (extension.type) {
    case kExtensionBackingFormat:
    case kExtensionDataFile:
      tell.Text("data", 8, extension.data.size(), AsText(extension.data),
                std::string(name));
      break;
    case kExtensionFeatureNames:
      TellFeatureNames(extension.data, tell);
      break;
    case kExtensionBitmaps:
      TellBitmapExtension(extension, tell);
      break;
    case kExtensionLuks:
      TellLuksExtension(extension, tell);
      break;
    default:
      tell.Bytes("data", 8, extension.data, "");
  }
  state.sink.End();
}

std::string DescribeEnd(const HeaderExtensions& extensions) {
  switch (extensions.end) {
    case ExtensionAreaEnd::kMarker:
      return {};
    case ExtensionAreaEnd::kAreaEnd:
      return "no end marker";
    case ExtensionAreaEnd::kOverflow:
      return "extension " + checker::Hex(extensions.end_type) + " at " +
             checker::Hex(extensions.end_offset) + " claims " +
             std::to_string(extensions.end_length) +
             " bytes, more than there are";
    case ExtensionAreaEnd::kInputEnd:
      return "the file ends inside the extensions";
  }
  return {};
}

void TellSlot(const LuksHeader& header, uint64_t index, uint64_t area_length,
              const FieldTeller& tell) {
  const LuksKeySlot& slot = header.slots[index];
  const uint64_t at =
      kLuksHeaderSize - (kLuksKeySlots - index) * kLuksKeySlotSize;
  const std::string prefix = "slot " + std::to_string(index) + " ";
  tell.Hexadecimal((prefix + "state").c_str(), at, 4, slot.state,
                   slot.active()                     ? "active"
                   : slot.state == kLuksSlotInactive ? "inactive"
                                                     : "unknown");
  tell.Number((prefix + "iterations").c_str(), at + 4, 4, slot.iterations,
              "of the key derivation");
  tell.Bytes((prefix + "salt").c_str(), at + 8, slot.salt, "");
  tell.Number((prefix + "key_material").c_str(), at + 40, 4,
              slot.key_material_sector, "sector in the LUKS area");
  tell.Number((prefix + "stripes").c_str(), at + 44, 4, slot.stripes,
              "the key is split into");
  const std::string issues =
      JoinIssues(LuksSlotIssues(header, index, area_length), kLuksSlotIssues);
  if (!issues.empty()) tell.state.sink.Problem(prefix + issues);
}

void DumpLuksHeader(DumpState& state, const LuksExtension& place) {
  DumpStructure structure;
  structure.kind = "luks-header";
  structure.title = "LUKS header";
  structure.offset = place.offset.value();
  structure.length = kLuksHeaderSize;
  state.sink.Begin(structure);
  const LuksHeader header = LuksHeader::Decode(
      ReadBytes(state, place.offset.value(), kLuksHeaderSize));
  const FieldTeller tell{state, place.offset.value()};
  tell.Bytes("magic", 0, header.magic, "\"LUKS\\xba\\xbe\"");
  tell.Number("version", 6, 2, header.version, "");
  tell.Text("cipher_name", 8, 32, std::string(header.cipher_name()), "");
  tell.Text("cipher_mode", 40, 32, std::string(header.cipher_mode()), "");
  tell.Text("hash_spec", 72, 32, std::string(header.hash_name()),
            "of the key derivation");
  tell.Number("payload_sector", 104, 4, header.payload_sector,
              "where data would begin; of no use in an image");
  tell.Number("key_bytes", 108, 4, header.key_bytes, "of the master key");
  tell.Bytes("master_key_digest", 112, header.master_key_digest, "");
  tell.Bytes("master_key_salt", 132, header.master_key_salt, "of the digest");
  tell.Number("master_key_iterations", 164, 4, header.master_key_iterations,
              "of the digest");
  tell.Text("uuid", 168, 40, std::string(header.uuid()), "");
  for (uint64_t i = 0; i < kLuksKeySlots; ++i) {
    TellSlot(header, i, place.length, tell);
  }
  TellIssues(LuksHeaderIssues(header), kLuksIssues, state.sink);
  state.sink.End();
}

}  // namespace

void DumpExtensions(DumpState& state) {
  if (!state.geometry) return;
  const HeaderExtensions extensions = DecodeHeaderExtensions(
      state.first_bytes, state.header.header_length,
      ExtensionAreaEndOffset(state.header, state.geometry->cluster_size()));
  for (const HeaderExtension& extension : extensions.extensions) {
    TellExtension(state, extension);
  }
  DumpStructure end;
  end.kind = "extensions-end";
  end.title = "End of the extensions";
  end.offset = extensions.end_offset;
  end.length = extensions.end == ExtensionAreaEnd::kMarker ? 8 : 0;
  state.sink.Begin(end);
  const std::string problem = DescribeEnd(extensions);
  if (!problem.empty()) state.sink.Problem(problem);
  state.sink.End();
  const HeaderExtension* const luks = extensions.Find(kExtensionLuks);
  if (luks != nullptr) {
    DumpLuksHeader(state, LuksExtension::Decode(luks->data));
  }
}

}  // namespace qcow2::tool
