#include "cli/tool/image_info.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/printable.h"
#include "cli/units.h"
#include "engine/format/bitmap_directory.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/header_extension.h"
#include "engine/format/luks_extension.h"
#include "engine/format/luks_header.h"
#include "engine/format/snapshot_table.h"
#include "engine/image/header_area.h"
#include "engine/status_macros.h"
#include "engine/storage/posix_file.h"

namespace qcow2::tool {
namespace {

constexpr uint64_t kNanosecondsASecond = 1'000'000'000;

// Up to `length` bytes; fewer at the end of the file.
absl::StatusOr<std::vector<std::byte>> ReadUpTo(const File& file,
                                                uint64_t offset,
                                                uint64_t length) {
  ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  const uint64_t room = offset < size ? size - offset : 0;
  std::vector<std::byte> bytes(std::min(length, room));
  ASSIGN_OR_RETURN(const size_t read, file.Pread(offset, bytes));
  bytes.resize(read);
  return bytes;
}

Json SnapshotJson(const SnapshotEntry& entry) {
  Json json = Json::object();
  // All ones: the guest's instructions were not counted.
  const std::optional<uint64_t> icount = entry.instruction_count();
  if (icount && *icount != ~uint64_t{0}) json["icount"] = *icount;
  json["vm-clock-nsec"] = entry.vm_clock_nanoseconds % kNanosecondsASecond;
  json["name"] = entry.name;
  json["date-sec"] = entry.date_seconds;
  json["date-nsec"] = entry.date_nanoseconds;
  json["vm-clock-sec"] = entry.vm_clock_nanoseconds / kNanosecondsASecond;
  json["id"] = entry.id;
  json["vm-state-size"] = entry.vm_state_size();
  return json;
}

absl::StatusOr<Json> SnapshotsJson(const File& file, const Header& header) {
  const uint64_t count = std::min<uint64_t>(header.nb_snapshots, kMaxSnapshots);
  std::vector<LocatedSnapshot> snapshots;
  // The table's length is stored nowhere: more is read until it suffices.
  for (uint64_t length = uint64_t{64} << 10; length <= kMaxSnapshotTableBytes;
       length *= 8) {
    ASSIGN_OR_RETURN(const std::vector<std::byte> bytes,
                     ReadUpTo(file, header.snapshots_offset.value(), length));
    snapshots = DecodeSnapshotTable(bytes, count);
    const bool whole = snapshots.size() == count &&
                       (snapshots.empty() || snapshots.back().entry.complete());
    if (whole || bytes.size() < length) break;
  }
  Json json = Json::array();
  for (const LocatedSnapshot& snapshot : snapshots) {
    if (snapshot.entry.complete()) json.push_back(SnapshotJson(snapshot.entry));
  }
  return json;
}

absl::StatusOr<Json> BitmapsJson(const File& file,
                                 const StoredExtension& extension) {
  const BitmapExtension place = BitmapExtension::Decode(extension.data);
  ASSIGN_OR_RETURN(
      const std::vector<std::byte> directory,
      ReadUpTo(file, place.directory_offset.value(),
               std::min(place.directory_size, kMaxBitmapDirectoryBytes)));
  Json json = Json::array();
  for (const LocatedBitmap& bitmap : DecodeBitmapDirectory(
           directory, std::min(place.nb_bitmaps, kMaxBitmaps))) {
    Json flags = Json::array();
    if (bitmap.entry.in_use()) flags.push_back("in-use");
    if ((bitmap.entry.flags & kBitmapAuto) != 0) flags.push_back("auto");
    json.push_back(
        {{"flags", std::move(flags)},
         {"name", bitmap.entry.name},
         {"granularity", bitmap.entry.granularity_bits < 63
                             ? uint64_t{1} << bitmap.entry.granularity_bits
                             : 0}});
  }
  return json;
}

Json SlotJson(const LuksKeySlot& slot) {
  Json json = {{"active", slot.active()}};
  if (slot.active()) json["iters"] = slot.iterations;
  json["key-offset"] = slot.key_material_sector * kLuksSectorSize;
  if (slot.active()) json["stripes"] = slot.stripes;
  return json;
}

absl::StatusOr<Json> LuksJson(const File& file, const HeaderArea& area) {
  const StoredExtension* const extension = area.Find(kExtensionLuks);
  if (extension == nullptr) return Json{{"format", "luks"}};
  const LuksExtension place = LuksExtension::Decode(extension->data);
  ASSIGN_OR_RETURN(const std::vector<std::byte> bytes,
                   ReadUpTo(file, place.offset.value(), kLuksHeaderSize));
  const LuksHeader header = LuksHeader::Decode(bytes);
  Json json = {{"format", "luks"}};
  // "xts-plain64", "cbc-essiv:sha256".
  const std::string mode(header.cipher_mode());
  const size_t dash = std::min(mode.find('-'), mode.size());
  const size_t colon = std::min(mode.find(':'), mode.size());
  json["cipher-mode"] = mode.substr(0, dash);
  if (dash < colon) json["ivgen-alg"] = mode.substr(dash + 1, colon - dash - 1);
  if (colon < mode.size()) json["ivgen-hash-alg"] = mode.substr(colon + 1);
  const uint32_t halves = mode.starts_with("xts") ? 2 : 1;
  json["cipher-alg"] = absl::StrCat(std::string(header.cipher_name()), "-",
                                    uint64_t{header.key_bytes} * 8 / halves);
  json["hash-alg"] = std::string(header.hash_name());
  json["uuid"] = std::string(header.uuid());
  json["slots"] = KeySlotsJson(header);
  json["payload-offset"] = header.payload_sector * kLuksSectorSize;
  json["master-key-iters"] = header.master_key_iterations;
  return json;
}

absl::StatusOr<Json> FormatSpecific(const File& file, const HeaderArea& area) {
  const Header& header = area.header;
  Json data = {{"compat", header.version == 2 ? "0.10" : "1.1"},
               {"compression-type",
                header.compression_type == kCompressionZstd ? "zstd" : "zlib"}};
  const bool v3 = header.version >= 3;
  if (v3) {
    data["lazy-refcounts"] =
        (header.compatible_features & kCompatibleLazyRefcounts) != 0;
  }
  const StoredExtension* const bitmaps = area.Find(kExtensionBitmaps);
  // Without the bit a program that does not know bitmaps has written the image,
  // and what it has of them is void.
  if (v3 && bitmaps != nullptr &&
      (header.autoclear_features & kAutoclearBitmaps) != 0) {
    ASSIGN_OR_RETURN(data["bitmaps"], BitmapsJson(file, *bitmaps));
  }
  data["refcount-bits"] = uint64_t{1} << header.refcount_order;
  if (header.crypt_method == kCryptAes) data["encrypt"] = {{"format", "aes"}};
  if (header.crypt_method == kCryptLuks) {
    ASSIGN_OR_RETURN(data["encrypt"], LuksJson(file, area));
  }
  if (header.has_external_data_file()) {
    data["data-file"] = area.TextOf(kExtensionDataFile).value_or("");
    data["data-file-raw"] =
        (header.autoclear_features & kAutoclearRawData) != 0;
  }
  if (v3) {
    data["corrupt"] = header.has_incompatible(kIncompatibleCorrupt);
    data["extended-l2"] = header.has_extended_l2();
  }
  return Json{{"type", "qcow2"}, {"data", std::move(data)}};
}

absl::StatusOr<Json> Qcow2Info(const std::string& path, const PosixFile& file) {
  ASSIGN_OR_RETURN(const HeaderArea area, ReadHeaderArea(file));
  const Header& header = area.header;
  Json info = Json::object();
  if (header.nb_snapshots > 0) {
    ASSIGN_OR_RETURN(info["snapshots"], SnapshotsJson(file, header));
  }
  const std::optional<std::string> format =
      area.TextOf(kExtensionBackingFormat);
  if (!area.backing_name.empty() && format) {
    info["backing-filename-format"] = *format;
  }
  info["virtual-size"] = header.size;
  info["filename"] = path;
  info["cluster-size"] = uint64_t{1} << header.cluster_bits;
  info["format"] = "qcow2";
  ASSIGN_OR_RETURN(info["actual-size"], file.AllocatedBytes());
  if (header.crypt_method != kCryptNone) info["encrypted"] = true;
  ASSIGN_OR_RETURN(info["format-specific"], FormatSpecific(file, area));
  if (!area.backing_name.empty()) {
    const absl::StatusOr<std::string> full =
        PathOfNamedFile(path, area.backing_name);
    if (full.ok()) info["full-backing-filename"] = *full;
    info["backing-filename"] = area.backing_name;
  }
  info["dirty-flag"] = header.has_incompatible(kIncompatibleDirty);
  return info;
}

absl::StatusOr<Json> RawInfo(const std::string& path, const PosixFile& file) {
  Json info = Json::object();
  ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  // A disk has whole sectors.
  info["virtual-size"] = (size + 511) / 512 * 512;
  info["filename"] = path;
  info["format"] = "raw";
  ASSIGN_OR_RETURN(info["actual-size"], file.AllocatedBytes());
  info["dirty-flag"] = false;
  return info;
}

std::string DateText(uint64_t seconds) {
  const auto time = static_cast<time_t>(seconds);
  std::tm parts = {};
  char text[32] = "";
  if (localtime_r(&time, &parts) != nullptr) {
    std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  }
  return text;
}

std::string Scalar(const Json& value) {
  return value.is_string() ? checker::Printable(value.get<std::string>())
                           : value.dump();
}

// Nested values as indented "key: value" lines.
void AppendValues(const Json& object, size_t indent, std::string& text) {
  for (const auto& [key, value] : object.items()) {
    text += std::string(indent, ' ');
    text += object.is_array() ? "[" + key + "]:" : key + ":";
    if (value.is_structured()) {
      text += "\n";
      AppendValues(value, indent + 2, text);
    } else {
      text += " " + Scalar(value) + "\n";
    }
  }
}

// What a person wants to know first comes first; JSON has no order. That no
// program holds the refcounts back goes without saying.
constexpr const char* kTextFields[] = {
    "filename",
    "format",
    "virtual-size",
    "actual-size",
    "cluster-size",
    "encrypted",
    "backing-filename",
    "full-backing-filename",
    "backing-filename-format",
};

std::string FieldLine(const std::string& key, const Json& value) {
  std::string line = key + ": " + Scalar(value);
  if (key.ends_with("-size")) {
    line += " (" + cli::HumanBytes(value.get<uint64_t>()) + ")";
  }
  return line + "\n";
}

}  // namespace

Json KeySlotsJson(const LuksHeader& header) {
  Json slots = Json::array();
  for (const LuksKeySlot& slot : header.slots) slots.push_back(SlotJson(slot));
  return slots;
}

absl::StatusOr<Json> ImageInfo(const std::string& path, DiskFormat format) {
  ASSIGN_OR_RETURN(const std::unique_ptr<PosixFile> file,
                   PosixFile::Open(path));
  return ImageInfo(*file, format);
}

absl::StatusOr<Json> ImageInfo(const PosixFile& file, DiskFormat format) {
  if (format == DiskFormat::kAuto) {
    ASSIGN_OR_RETURN(format, ProbeFormat(file));
  }
  return format == DiskFormat::kQcow2 ? Qcow2Info(file.name(), file)
                                      : RawInfo(file.name(), file);
}

std::string SnapshotsText(const Json& snapshots) {
  std::string text =
      "Snapshots:\n"
      "  ID         NAME                     VM STATE  DATE\n";
  for (const Json& snapshot : snapshots) {
    char line[256];
    std::snprintf(
        line, sizeof line, "  %-9s  %-18s  %13s  %s\n",
        checker::Printable(snapshot.at("id").get<std::string>()).c_str(),
        checker::Printable(snapshot.at("name").get<std::string>()).c_str(),
        cli::HumanBytes(snapshot.at("vm-state-size").get<uint64_t>()).c_str(),
        DateText(snapshot.at("date-sec").get<uint64_t>()).c_str());
    text += line;
  }
  return text;
}

std::string InfoText(const Json& info) {
  std::string text;
  for (const char* const key : kTextFields) {
    if (info.contains(key)) text += FieldLine(key, info.at(key));
  }
  if (info.value("dirty-flag", false)) text += "dirty-flag: true\n";
  if (info.contains("snapshots")) text += SnapshotsText(info.at("snapshots"));
  if (info.contains("format-specific")) {
    text += "format-specific:\n";
    AppendValues(info.at("format-specific").at("data"), 2, text);
  }
  return text;
}

}  // namespace qcow2::tool
