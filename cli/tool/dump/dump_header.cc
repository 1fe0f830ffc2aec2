// The header's fields.
#include <bit>

#include "checker/printable.h"
#include "cli/tool/dump/dump_state.h"
#include "cli/units.h"
#include "engine/format/feature_name_table.h"
#include "engine/format/header_extension.h"

namespace qcow2::tool {
namespace {

constexpr IssueText kHeaderIssues[] = {
    {kHeaderCutShort, "the file ends inside the header"},
    {kHeaderBadVersion, "version: neither 2 nor 3"},
    {kHeaderBadClusterBits,
     "cluster_bits: not in 9..21 (14..21 with extended "
     "L2 entries)"},
    {kHeaderBadRefcountOrder, "refcount_order: not in 0..6"},
    {kHeaderBadLength,
     "header_length: below 104, no multiple of 8, or beyond cluster 0"},
    {kHeaderPaddingNotZero, "padding: not zero"},
    {kHeaderUnknownIncompatible,
     "incompatible_features: unknown bits, nobody may open the image"},
    {kHeaderUnknownAutoclear,
     "autoclear_features: unknown bits, which the first write clears"},
    {kHeaderUnknownCompression, "compression_type: unknown"},
    {kHeaderCompressionAgainstFeature,
     "compression_type: does not go with its incompatible feature bit"},
    {kHeaderUnknownCrypt, "crypt_method: unknown"},
    {kHeaderBackingNameTooLong, "backing_file_size: over 1023"},
    {kHeaderBackingNameOutside,
     "backing_file_offset: the name is not between header and end of cluster "
     "0"},
    {kHeaderL1Unaligned, "l1_table_offset: not cluster aligned"},
    {kHeaderL1TooLarge, "l1_size: over 32 MiB of table"},
    {kHeaderL1TooSmall, "l1_size: too small for the virtual disk"},
    {kHeaderRefcountTableUnaligned,
     "refcount_table_offset: not cluster aligned"},
    {kHeaderRefcountTableEmpty, "refcount_table_clusters: 0"},
    {kHeaderRefcountTableTooLarge,
     "refcount_table_clusters: over 8 MiB of table"},
    {kHeaderTooManySnapshots, "nb_snapshots: over 65536"},
    {kHeaderSnapshotsUnaligned, "snapshots_offset: not cluster aligned"},
    {kHeaderRawDataWithoutDataFile,
     "autoclear_features: raw external data without an external data file"},
    {kHeaderRawDataWithBackingFile,
     "autoclear_features: raw external data with a backing file"},
};

std::string PowerOfTwo(uint32_t bits, const char* unit) {
  if (bits >= 63) return std::string("log2 of the ") + unit;
  return std::to_string(uint64_t{1} << bits) + " " + unit;
}

std::string CryptName(uint32_t method) {
  switch (method) {
    case kCryptNone:
      return "not encrypted";
    case kCryptAes:
      return "AES, the old encryption";
    case kCryptLuks:
      return "LUKS";
    default:
      return "unknown";
  }
}

// "dirty, bit 9 (unknown)".
std::string FeatureList(FeatureKind kind, uint64_t features,
                        std::span<const FeatureName> names) {
  std::string list;
  while (features != 0) {
    const auto bit = static_cast<uint32_t>(std::countr_zero(features));
    features &= features - 1;
    const std::string_view name = NameOfFeature(kind, bit, names);
    list += (list.empty() ? "" : ", ") +
            (name.empty() ? "bit " + std::to_string(bit) + " (unknown)"
                          : std::string(name));
  }
  return list.empty() ? "none" : list;
}

std::vector<FeatureName> NamesOf(const DumpState& state) {
  if (!state.geometry) return {};
  const HeaderExtensions extensions = DecodeHeaderExtensions(
      state.first_bytes, state.header.header_length,
      ExtensionAreaEndOffset(state.header, state.geometry->cluster_size()));
  const HeaderExtension* const table = extensions.Find(kExtensionFeatureNames);
  return table == nullptr ? std::vector<FeatureName>()
                          : DecodeFeatureNames(table->data);
}

void TellBackingName(DumpState& state) {
  const Header& header = state.header;
  const uint64_t offset = header.backing_file_offset.value();
  if (offset == 0 || header.backing_file_size > kMaxBackingNameBytes) return;
  const std::vector<std::byte> name =
      ReadBytes(state, offset, header.backing_file_size);
  FieldTeller{state}.Text(
      "backing file name", offset, name.size(),
      std::string(reinterpret_cast<const char*>(name.data()), name.size()),
      "what unallocated clusters are read from");
}

void TellVersion2Fields(DumpState& state) {
  const Header& header = state.header;
  const FieldTeller tell{state};
  tell.Hexadecimal("magic", 0, 4, header.magic, "\"QFI\\xfb\"");
  tell.Number("version", 4, 4, header.version,
              header.version == 2 ? "compat 0.10" : "compat 1.1 from 3 on");
  tell.Hexadecimal("backing_file_offset", 8, 8,
                   header.backing_file_offset.value(),
                   header.backing_file_offset.value() == 0
                       ? "no backing file"
                       : "where the backing file's name is");
  tell.Number("backing_file_size", 16, 4, header.backing_file_size,
              "bytes of the name, at most 1023");
  tell.Number("cluster_bits", 20, 4, header.cluster_bits,
              PowerOfTwo(header.cluster_bits, "bytes a cluster"));
  tell.Number("size", 24, 8, header.size,
              "the virtual disk: " + cli::HumanBytes(header.size));
  tell.Number("crypt_method", 32, 4, header.crypt_method,
              CryptName(header.crypt_method));
  tell.Number("l1_size", 36, 4, header.l1_size,
              "entries of the active L1 table");
  tell.Hexadecimal("l1_table_offset", 40, 8, header.l1_table_offset.value(),
                   "where it is; cluster aligned");
  tell.Hexadecimal("refcount_table_offset", 48, 8,
                   header.refcount_table_offset.value(),
                   "where the refcount table is; cluster aligned");
  tell.Number("refcount_table_clusters", 56, 4, header.refcount_table_clusters,
              "its length in clusters");
  tell.Number("nb_snapshots", 60, 4, header.nb_snapshots, "internal snapshots");
  tell.Hexadecimal("snapshots_offset", 64, 8, header.snapshots_offset.value(),
                   "where their table is; cluster aligned");
}

void TellVersion3Fields(DumpState& state) {
  const Header& header = state.header;
  const FieldTeller tell{state};
  const std::vector<FeatureName> names = NamesOf(state);
  tell.Hexadecimal("incompatible_features", 72, 8, header.incompatible_features,
                   FeatureList(FeatureKind::kIncompatible,
                               header.incompatible_features, names));
  tell.Hexadecimal(
      "compatible_features", 80, 8, header.compatible_features,
      FeatureList(FeatureKind::kCompatible, header.compatible_features, names));
  tell.Hexadecimal(
      "autoclear_features", 88, 8, header.autoclear_features,
      FeatureList(FeatureKind::kAutoclear, header.autoclear_features, names));
  tell.Number("refcount_order", 96, 4, header.refcount_order,
              PowerOfTwo(header.refcount_order, "bits a refcount"));
  tell.Number("header_length", 100, 4, header.header_length,
              "bytes of the header; extensions follow");
  if (header.header_length <= kHeaderLengthV3) return;
  tell.Number("compression_type", 104, 1, header.compression_type,
              header.compression_type == kCompressionDeflate ? "deflate"
              : header.compression_type == kCompressionZstd  ? "zstd"
                                                             : "unknown");
  tell.Bytes("padding", 105, header.padding, "zero");
  if (!header.unknown_tail.empty()) {
    tell.Bytes("unknown fields", kHeaderLengthKnown, header.unknown_tail,
               "kept as they are");
  }
}

}  // namespace

void DumpHeaderFields(DumpState& state) {
  DumpStructure structure;
  structure.kind = "header";
  structure.title = "Header";
  structure.length = state.header.encoded_size();
  state.sink.Begin(structure);
  TellVersion2Fields(state);
  if (state.header.version >= 3) TellVersion3Fields(state);
  TellBackingName(state);
  TellIssues(HeaderIssues(state.header), kHeaderIssues, state.sink);
  if (LooksLikeDraftV3(state.header)) {
    state.sink.Problem(
        "the fields from byte 72 on look like those of the first draft of "
        "version 3, which nobody reads");
  }
  state.sink.End();
}

}  // namespace qcow2::tool
