// The header extensions: do they fit their area, is each there once, and what
// do they say? Collects backing format, external data file name, and the places
// of bitmap directory and LUKS header, which have passes of their own. Names
// the feature bits nobody knows, for which an extension may have names.
#include "checker/header_extension_pass.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checker/pass_findings.h"
#include "engine/format/feature_name_table.h"
#include "engine/format/header_extension.h"

namespace qcow2::checker {
namespace {

// QEMU keeps the format's name in 16 bytes, the final NUL included.
constexpr uint32_t kMaxBackingFormatBytes = 15;

std::string DescribeType(uint32_t type) {
  const std::string_view name = ExtensionTypeName(type);
  if (!name.empty()) return "\"" + std::string(name) + "\"";
  std::array<char, 40> text;
  std::snprintf(text.data(), text.size(), "of unknown type 0x%08" PRIx32, type);
  return text.data();
}

Finding ExtensionFinding(Problem problem, uint32_t type, uint64_t offset) {
  Finding finding;
  finding.problem = problem;
  finding.location.structure = Structure::kHeaderExtension;
  finding.location.table_offset = offset;
  finding.location.field = ExtensionTypeName(type);
  finding.detail = DescribeType(type);
  return finding;
}

// QEMU takes a backing file name inside the header for the end of the area.
bool QemuSeesNoExtensions(const CheckState& state) {
  const Header& header = state.model.header;
  const uint64_t name = header.backing_file_offset.value();
  return state.options.qemu_compatible && name != 0 &&
         name <= header.header_length;
}

// Reports an extension, or the rest of one, that does not fit.
void JudgeAreaEnd(CheckState& state, const HeaderExtensions& decoded,
                  uint64_t area_end) {
  const bool overflow = decoded.end == ExtensionAreaEnd::kOverflow;
  const bool stub = decoded.end == ExtensionAreaEnd::kAreaEnd &&
                    decoded.end_offset < area_end;
  if (!overflow && !stub) return;
  Finding finding = ExtensionFinding(Problem::kExtensionOverflow,
                                     decoded.end_type, decoded.end_offset);
  if (stub) finding.detail = "that should end the list";
  finding.actual = decoded.end_offset;
  finding.expected = area_end;
  state.sink.Add(std::move(finding));
  state.model.references_incomplete = true;
}

void JudgeDuplicates(CheckState& state, const HeaderExtensions& decoded) {
  for (const uint32_t type : RepeatedExtensions(decoded)) {
    const HeaderExtension* first = decoded.Find(type);
    for (const HeaderExtension& extension : decoded.extensions) {
      if (extension.type != type || &extension == first) continue;
      Finding finding = ExtensionFinding(Problem::kExtensionDuplicate, type,
                                         extension.offset);
      finding.actual = extension.offset;
      finding.expected = first->offset;
      state.sink.Add(std::move(finding));
    }
  }
}

void ReportLength(CheckState& state, const HeaderExtension& extension,
                  uint64_t expected) {
  Finding finding = ExtensionFinding(Problem::kExtensionLength, extension.type,
                                     extension.offset);
  finding.actual = extension.length;
  finding.expected = expected;
  state.sink.Add(std::move(finding));
}

std::string TextOf(std::span<const std::byte> data) {
  std::string text;
  text.reserve(data.size());
  for (const std::byte byte : data) text.push_back(static_cast<char>(byte));
  return text;
}

// What is wrong with the rows of a feature name table; empty if nothing is.
std::string FeatureNameFault(const HeaderExtension& extension) {
  if (extension.length % kFeatureNameRowSize != 0) {
    return "its length " + std::to_string(extension.length) +
           " is not a multiple of " + std::to_string(kFeatureNameRowSize);
  }
  const std::vector<FeatureName> rows = DecodeFeatureNames(extension.data);
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string row = "row " + std::to_string(i);
    if (rows[i].kind > static_cast<uint8_t>(FeatureKind::kAutoclear)) {
      return row + " is of unknown kind " + std::to_string(rows[i].kind);
    }
    if (rows[i].bit > 63) {
      return row + " names bit " + std::to_string(rows[i].bit);
    }
    if (rows[i].name().empty()) return row + " has no name";
  }
  return "";
}

void TakeFeatureNames(CheckState& state, const HeaderExtension& extension) {
  std::string fault = FeatureNameFault(extension);
  if (fault.empty()) return;
  Finding finding = ExtensionFinding(Problem::kFeatureNameTable, extension.type,
                                     extension.offset);
  finding.detail = std::move(fault);
  state.sink.Add(std::move(finding));
}

// The last extension of a kind counts, as it does for QEMU.
void TakeExtension(CheckState& state, const HeaderExtension& extension) {
  ImageModel& model = state.model;
  switch (extension.type) {
    case kExtensionBackingFormat:
      if (extension.length > kMaxBackingFormatBytes) {
        ReportLength(state, extension, kMaxBackingFormatBytes);
        return;
      }
      model.backing_format = TextOf(extension.data);
      model.backing_format.resize(std::min(model.backing_format.size(),
                                           model.backing_format.find('\0')));
      return;
    case kExtensionFeatureNames:
      TakeFeatureNames(state, extension);
      return;
    case kExtensionBitmaps:
      if (extension.length != kBitmapExtensionSize) {
        ReportLength(state, extension, kBitmapExtensionSize);
        model.references_incomplete = true;
        return;
      }
      model.bitmap_extension = BitmapExtension::Decode(extension.data);
      return;
    case kExtensionLuks:
      if (extension.length != kLuksExtensionSize) {
        ReportLength(state, extension, kLuksExtensionSize);
        model.references_incomplete = true;
        return;
      }
      model.luks_extension = LuksExtension::Decode(extension.data);
      return;
    case kExtensionDataFile:
      model.data_file_name = TextOf(extension.data);
      state.summary.data_file = *model.data_file_name;
      return;
    default:
      return;
  }
}

std::vector<FeatureName> FeatureNames(const HeaderExtensions& decoded) {
  const HeaderExtension* table = decoded.Find(kExtensionFeatureNames);
  if (table == nullptr) return {};
  return DecodeFeatureNames(table->data);
}

// "bit 5 (\"name\"), bit 6" for the bits set in `bits`.
std::string DescribeBits(uint64_t bits, FeatureKind kind,
                         std::span<const FeatureName> names) {
  std::string text;
  for (uint32_t bit = 0; bit < 64; ++bit) {
    if ((bits >> bit & 1) == 0) continue;
    if (!text.empty()) text += ", ";
    text += "bit " + std::to_string(bit);
    const std::string_view name = NameOfFeature(kind, bit, names);
    if (!name.empty()) text += " (\"" + std::string(name) + "\")";
  }
  return text;
}

// One of the header's three feature words.
struct FeatureWord {
  FeatureKind kind;
  std::string_view field;
  uint64_t bits;
  uint64_t known;
  Problem unknown;
};

void JudgeFeatureWord(CheckState& state, const FeatureWord& word,
                      std::span<const FeatureName> names) {
  for (uint32_t bit = 0; bit < 64; ++bit) {
    if ((word.bits >> bit & 1) == 0) continue;
    const std::string_view name = NameOfFeature(word.kind, bit, names);
    state.summary.features.push_back(!name.empty()
                                         ? std::string(name)
                                         : std::string(word.field) + " bit " +
                                               std::to_string(bit));
  }
  const uint64_t unknown = word.bits & ~word.known;
  if (unknown == 0) return;
  state.sink.Add(HeaderFinding(word.unknown, word.field, unknown, std::nullopt,
                               DescribeBits(unknown, word.kind, names)));
}

void JudgeFeatures(CheckState& state, std::span<const FeatureName> names) {
  const Header& header = state.model.header;
  const FeatureWord words[] = {
      {FeatureKind::kIncompatible, "incompatible_features",
       header.incompatible_features, kKnownIncompatibleFeatures,
       Problem::kUnknownIncompatibleFeature},
      {FeatureKind::kCompatible, "compatible_features",
       header.compatible_features, kKnownCompatibleFeatures,
       Problem::kCompatibleUnknown},
      {FeatureKind::kAutoclear, "autoclear_features", header.autoclear_features,
       kKnownAutoclearFeatures, Problem::kAutoclearUnknown},
  };
  for (const FeatureWord& word : words) JudgeFeatureWord(state, word, names);
}

}  // namespace

void JudgeHeaderExtensions(CheckState& state,
                           std::span<const std::byte> first_cluster) {
  const Header& header = state.model.header;
  const uint64_t begin = HeaderExtensionsBegin(header, first_cluster);
  if (begin == 0 || QemuSeesNoExtensions(state)) {
    state.model.references_incomplete = true;
    JudgeFeatures(state, {});
    return;
  }
  const uint64_t area_end =
      ExtensionAreaEndOffset(header, first_cluster.size());
  const HeaderExtensions decoded =
      DecodeHeaderExtensions(first_cluster, begin, area_end);
  JudgeAreaEnd(state, decoded, area_end);
  JudgeDuplicates(state, decoded);
  for (const HeaderExtension& extension : decoded.extensions) {
    TakeExtension(state, extension);
  }
  JudgeFeatures(state, FeatureNames(decoded));
  const bool all_seen = decoded.end != ExtensionAreaEnd::kOverflow;
  if ((header.autoclear_features & kAutoclearBitmaps) != 0 && all_seen &&
      decoded.Find(kExtensionBitmaps) == nullptr) {
    state.sink.Add(
        HeaderFinding(Problem::kAutoclearWithoutExtension, "autoclear_features",
                      header.autoclear_features, std::nullopt, "\"bitmaps\""));
  }
}

}  // namespace qcow2::checker
