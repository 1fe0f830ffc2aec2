#include "repair/extension_step.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/printable.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/byte_order.h"
#include "engine/format/feature_name_table.h"
#include "engine/format/geometry.h"
#include "engine/format/header_extension.h"
#include "engine/format/luks_extension.h"
#include "engine/format/luks_header.h"
#include "engine/status_macros.h"
#include "repair/extension_area.h"
#include "repair/metadata_edit.h"

namespace qcow2::repair {
namespace {

using checker::Finding;
using checker::Hex;
using checker::Problem;

constexpr uint64_t kExtensionHeaderBytes = 8;
constexpr uint64_t kMaxBackingFormatBytes = 15;
constexpr std::string_view kFileProtocol = "file:";

std::string NameOfType(uint32_t type) {
  const std::string_view name = ExtensionTypeName(type);
  if (name.empty()) return Hex(type);
  return absl::StrCat("\"", std::string(name), "\"");
}

std::string WhereOf(uint32_t type, uint64_t offset) {
  return absl::StrCat("header extension ", NameOfType(type), " at ",
                      Hex(offset));
}

// The printable characters that `bytes` begins with, if a zero follows them.
std::optional<std::vector<std::byte>> TextRun(
    std::span<const std::byte> bytes) {
  std::vector<std::byte> run;
  for (const std::byte byte : bytes) {
    if (byte == std::byte{0}) {
      if (run.empty()) return std::nullopt;
      return run;
    }
    const auto c = std::to_integer<unsigned char>(byte);
    if (c < 0x20 || c >= 0x7f) return std::nullopt;
    run.push_back(byte);
  }
  return std::nullopt;
}

bool IsSoundFeatureName(const FeatureName& row) {
  return row.kind <= static_cast<uint8_t>(FeatureKind::kAutoclear) &&
         row.bit <= 63 && !row.name().empty();
}

// The rows of a feature name table that make sense; `leading` of them only:
// those before the first that does not.
std::vector<std::byte> SoundFeatureNames(std::span<const std::byte> data,
                                         bool leading) {
  std::vector<std::byte> rows;
  for (const FeatureName& row : DecodeFeatureNames(data)) {
    if (IsSoundFeatureName(row)) {
      const auto bytes = row.Encode();
      rows.insert(rows.end(), bytes.begin(), bytes.end());
    } else if (leading) {
      break;
    }
  }
  return rows;
}

class ExtensionMender : private MetadataMender {
 public:
  ExtensionMender(RepairContext& context, ExtensionArea area)
      : MetadataMender(context), area_(std::move(area)) {}

  absl::StatusOr<bool> Run();

 private:
  // The data an extension of that type with a damaged length has, by what
  // stands in the image from `offset` on; nothing if that is not certain.
  std::optional<std::vector<std::byte>> LikelyData(uint32_t type,
                                                   uint64_t offset) const;
  bool IsSoundBitmaps(std::span<const std::byte> data) const;
  bool PointsAtLuksHeader(std::span<const std::byte> data) const;
  // Whether the image can do without the extension of that type.
  bool MayLeaveOut(uint32_t type) const;

  void MendEnd();
  // Finds the extensions behind a damaged one whose end is not known.
  void FindListBehind(uint64_t offset);
  void MendLengths();
  void LeaveOutDuplicates();
  void MendFeatureNames();
  absl::Status MendLuks();
  void MendDataFileName();
  void MendBackingFormat();
  // "qcow2" if the backing file is that, for sure; else empty.
  std::string FormatOfBackingFile() const;

  ExtensionArea area_;
  bool header_changed_ = false;
};

bool ExtensionMender::IsSoundBitmaps(std::span<const std::byte> data) const {
  const BitmapExtension extension = BitmapExtension::Decode(data);
  return data.size() == kBitmapExtensionSize &&
         BitmapExtensionIssues(extension, data.size(), geometry()) == 0 &&
         extension.directory_offset.value() != 0 &&
         extension.directory_offset.value() < model().file_size_bytes;
}

bool ExtensionMender::PointsAtLuksHeader(
    std::span<const std::byte> data) const {
  const LuksExtension pointer = LuksExtension::Decode(data);
  if (LuksExtensionIssues(pointer, data.size(), geometry()) != 0) return false;
  std::array<std::byte, kLuksHeaderSize> bytes;
  if (!ReadZeroFilled(view(), pointer.offset.value(), bytes).ok()) {
    return false;
  }
  constexpr uint32_t kNotLuks = kLuksBadMagic | kLuksBadVersion;
  return (LuksHeaderIssues(LuksHeader::Decode(bytes)) & kNotLuks) == 0;
}

std::optional<std::vector<std::byte>> ExtensionMender::LikelyData(
    uint32_t type, uint64_t offset) const {
  if (offset > area_.area_end()) return std::nullopt;
  const auto room =
      area_.first_cluster().subspan(offset, area_.area_end() - offset);
  const auto copy = [](std::span<const std::byte> bytes) {
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  switch (type) {
    case kExtensionBitmaps:
      if (room.size() < kBitmapExtensionSize ||
          !IsSoundBitmaps(room.first(kBitmapExtensionSize))) {
        return std::nullopt;
      }
      return copy(room.first(kBitmapExtensionSize));
    case kExtensionLuks:
      if (room.size() < kLuksExtensionSize ||
          !PointsAtLuksHeader(room.first(kLuksExtensionSize))) {
        return std::nullopt;
      }
      return copy(room.first(kLuksExtensionSize));
    case kExtensionBackingFormat: {
      std::optional<std::vector<std::byte>> text = TextRun(room);
      if (text && text->size() > kMaxBackingFormatBytes) return std::nullopt;
      return text;
    }
    case kExtensionDataFile:
      return TextRun(room);
    case kExtensionFeatureNames: {
      std::vector<std::byte> rows = SoundFeatureNames(room, /*leading=*/true);
      if (rows.empty()) return std::nullopt;
      return rows;
    }
    default:
      return std::nullopt;
  }
}

bool ExtensionMender::MayLeaveOut(uint32_t type) const {
  switch (type) {
    case kExtensionLuks:
      return header().crypt_method != kCryptLuks;
    case kExtensionDataFile:
      return !model().external_data_file;
    case kExtensionBackingFormat:
      // Without it programs guess, and a guest can make them guess wrong.
      return header().backing_file_offset.value() == 0;
    default:
      return true;
  }
}

// Only positions where a known type stands are tried.
void ExtensionMender::FindListBehind(uint64_t offset) {
  for (uint64_t at = offset; at + kExtensionHeaderBytes <= area_.area_end();
       at += 8) {
    const uint32_t type = LoadBe32(&area_.first_cluster()[at]);
    if (type == kExtensionEnd || ExtensionTypeName(type).empty()) continue;
    if (area_.ReadOnFrom(at)) return;
  }
}

// An extension that reaches past the end of the area, or a list whose end is
// not marked.
void ExtensionMender::MendEnd() {
  const Finding* finding = FirstFinding(Problem::kExtensionOverflow);
  if (finding == nullptr) return;
  const uint64_t offset = area_.end_offset();
  const uint32_t type = area_.end_type();
  if (area_.end() != ExtensionAreaEnd::kOverflow || type == kExtensionEnd) {
    Record(Problem::kExtensionOverflow,
           absl::StrCat("header extensions, end at ", Hex(offset)),
           "is not marked as it should", "marked");
    return;
  }
  const std::string where = WhereOf(type, offset);
  const std::string before = "reaches past the end of the extension area";
  const uint64_t data_offset = offset + kExtensionHeaderBytes;
  if (const auto data = LikelyData(type, data_offset)) {
    area_.extensions().push_back({type, offset, *data, {}});
    const uint64_t behind = data_offset + (data->size() + 7) / 8 * 8;
    if (!area_.ReadOnFrom(behind)) FindListBehind(behind);
    Record(Problem::kExtensionOverflow, where, before,
           absl::StrCat(data->size(), " bytes long, as its content is"));
    return;
  }
  if (!MayLeaveOut(type)) return;
  FindListBehind(data_offset);
  Record(Problem::kExtensionOverflow, where, before, "left out");
}

// Extensions of a fixed length, or of a limited one, that have another.
void ExtensionMender::MendLengths() {
  if (!Found(Problem::kExtensionLength)) return;
  for (size_t i = 0; i < area_.extensions().size(); ++i) {
    const StoredExtension extension = area_.extensions()[i];
    const uint64_t length = extension.data.size();
    const bool wrong =
        (extension.type == kExtensionBitmaps &&
         length != kBitmapExtensionSize) ||
        (extension.type == kExtensionLuks && length != kLuksExtensionSize) ||
        (extension.type == kExtensionBackingFormat &&
         length > kMaxBackingFormatBytes);
    if (!wrong) continue;
    const std::string where = WhereOf(extension.type, extension.offset);
    const std::string before = absl::StrCat(length, " bytes long");
    const uint64_t data_offset = extension.offset + kExtensionHeaderBytes;
    if (const auto data = LikelyData(extension.type, data_offset)) {
      area_.extensions().resize(i);
      area_.extensions().push_back(
          {extension.type, extension.offset, *data, {}});
      const uint64_t behind = data_offset + (data->size() + 7) / 8 * 8;
      if (!area_.ReadOnFrom(behind)) FindListBehind(behind);
      Record(Problem::kExtensionLength, where, before,
             absl::StrCat(data->size(), " bytes long, as its content is"));
    } else if (MayLeaveOut(extension.type)) {
      area_.extensions().erase(area_.extensions().begin() +
                               static_cast<ptrdiff_t>(i));
      --i;
      Record(Problem::kExtensionLength, where, before, "left out");
    }
  }
}

// The last one of a kind is what QEMU goes by.
void ExtensionMender::LeaveOutDuplicates() {
  if (!Found(Problem::kExtensionDuplicate)) return;
  std::set<uint32_t> seen;
  std::vector<StoredExtension>& list = area_.extensions();
  for (size_t i = list.size(); i-- > 0;) {
    const uint32_t type = list[i].type;
    if (ExtensionTypeName(type).empty() || seen.insert(type).second) continue;
    Record(Problem::kExtensionDuplicate, WhereOf(type, list[i].offset),
           "occurs again behind it", "left out: the last one counts");
    list.erase(list.begin() + static_cast<ptrdiff_t>(i));
  }
}

void ExtensionMender::MendFeatureNames() {
  if (!Found(Problem::kFeatureNameTable)) return;
  std::vector<StoredExtension>& list = area_.extensions();
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i].type != kExtensionFeatureNames) continue;
    std::vector<std::byte> rows =
        SoundFeatureNames(list[i].data, /*leading=*/false);
    if (rows == list[i].data) continue;
    Record(Problem::kFeatureNameTable, WhereOf(list[i].type, list[i].offset),
           absl::StrCat(list[i].data.size(), " bytes, malformed"),
           absl::StrCat("the ", rows.size() / kFeatureNameRowSize,
                        " rows that make sense"));
    if (rows.empty()) {
      list.erase(list.begin() + static_cast<ptrdiff_t>(i));
      --i;
    } else {
      list[i].data = std::move(rows);
      list[i].padding.clear();
    }
  }
}

// Where the pointer leads to a LUKS header, it is crypt_method that is damaged:
// leaving the pointer out would cost every key.
absl::Status ExtensionMender::MendLuks() {
  if (!Found(Problem::kLuksUnexpected)) return absl::OkStatus();
  const StoredExtension* pointer = area_.FindLast(kExtensionLuks);
  if (pointer == nullptr) return absl::OkStatus();
  if (!PointsAtLuksHeader(pointer->data)) {
    Record(Problem::kLuksUnexpected, WhereOf(pointer->type, pointer->offset),
           "in an image that is not encrypted by LUKS",
           "left out: it names no LUKS header");
    area_.Remove(kExtensionLuks);
    return absl::OkStatus();
  }
  Record(Problem::kLuksUnexpected, "header, crypt_method",
         absl::StrCat(header().crypt_method),
         "2 (LUKS): the image has a LUKS header");
  header_changed_ = true;
  return WriteBe32(view(), kCryptMethodAt, kCryptLuks);
}

// The name may be all that is left of a data-file bit that was lost. An image
// that is sound by now need not have been so before somebody repaired it, so
// that it goes only where the user has asked for more than what is certain.
void ExtensionMender::MendDataFileName() {
  if (!Found(Problem::kDataFileNameUnexpected) ||
      context().options.mode != Mode::kSalvage ||
      header().autoclear_features & kAutoclearRawData) {
    return;
  }
  const std::vector<Finding>& problems = context().report.problems;
  const bool sound =
      std::none_of(problems.begin(), problems.end(), [](const Finding& found) {
        return checker::RowOf(found.problem).severity ==
               checker::Severity::kCorruption;
      });
  const StoredExtension* name = area_.FindLast(kExtensionDataFile);
  if (!sound || name == nullptr) return;
  Record(Problem::kDataFileNameUnexpected, WhereOf(name->type, name->offset),
         "names a data file in an image that has none", "left out");
  area_.Remove(kExtensionDataFile);
}

std::string ExtensionMender::FormatOfBackingFile() const {
  const auto& open = context().options.check.open_other_file;
  std::string name = model().backing_file;
  if (std::string_view(name).starts_with(kFileProtocol)) {
    name.erase(0, kFileProtocol.size());
  }
  if (!open || name.empty()) return "";
  const absl::StatusOr<std::unique_ptr<File>> file = open(name, model().path);
  if (!file.ok()) return "";
  std::vector<std::byte> start(kHeaderLengthV3);
  if (!ReadZeroFilled(**file, 0, start).ok()) return "";
  constexpr uint64_t kNoQcow2 =
      kHeaderBadMagic | kHeaderBadVersion | kHeaderBadClusterBits;
  const uint64_t issues = HeaderIssues(Header::Decode(start));
  return (issues & kNoQcow2) == 0 ? "qcow2" : "";
}

// What a raw disk holds is the guest's to choose, a qcow2 header included: a
// format that may have been "raw" before it was damaged stays as it is.
bool MayHaveBeenRaw(std::string_view format) {
  constexpr std::string_view kRaw = "raw";
  if (format.size() != kRaw.size()) return format.empty();
  int alike = 0;
  for (size_t i = 0; i < kRaw.size(); ++i) alike += format[i] == kRaw[i];
  return alike >= 2;
}

void ExtensionMender::MendBackingFormat() {
  const Finding* finding = FirstFinding(Problem::kBackingFormat);
  StoredExtension* extension = area_.FindLast(kExtensionBackingFormat);
  const std::string& format = model().backing_format;
  // It may be about an image further down the chain.
  if (finding == nullptr || extension == nullptr ||
      !finding->detail.starts_with("\"" + format + "\"") ||
      MayHaveBeenRaw(format)) {
    return;
  }
  const std::string right = FormatOfBackingFile();
  if (right.empty() || right == format) return;
  Record(Problem::kBackingFormat, WhereOf(extension->type, extension->offset),
         "\"" + format + "\"", "\"" + right + "\", as the backing file begins");
  extension->data.clear();
  for (const char c : right) {
    extension->data.push_back(static_cast<std::byte>(c));
  }
  extension->padding.clear();
}

absl::StatusOr<bool> ExtensionMender::Run() {
  RETURN_IF_ERROR(MendLuks());
  if (header_changed_) {
    TellPlan();
    return true;
  }
  MendEnd();
  MendLengths();
  LeaveOutDuplicates();
  MendFeatureNames();
  MendDataFileName();
  MendBackingFormat();
  if (!has_edits()) return false;
  ASSIGN_OR_RETURN(const bool written, area_.Write(view()));
  if (!written) return false;
  TellPlan();
  return true;
}

}  // namespace

absl::StatusOr<bool> MendHeaderExtensions(RepairContext& context) {
  const checker::ImageModel& model = context.graph.model;
  if (!model.geometry || context.graph.map == nullptr) return false;
  std::optional<ExtensionArea> area = ExtensionArea::Read(context.view, model);
  if (!area) return false;
  return ExtensionMender(context, *std::move(area)).Run();
}

}  // namespace qcow2::repair
