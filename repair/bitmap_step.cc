#include "repair/bitmap_step.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/printable.h"
#include "engine/format/bitmap_directory.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/bitmap_table_entry.h"
#include "engine/format/header.h"
#include "engine/format/header_extension.h"
#include "engine/status_macros.h"
#include "repair/extension_area.h"
#include "repair/metadata_edit.h"
#include "repair/stored_bitmaps.h"

namespace qcow2::repair {
namespace {

using checker::Finding;
using checker::Hex;
using checker::Problem;

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

// What this step answers but for stale bitmaps.
constexpr Problem kProblems[] = {
    Problem::kBitmapExtension,      Problem::kBitmapDirectoryPastEnd,
    Problem::kBitmapDirectoryEntry, Problem::kBitmapCount,
    Problem::kBitmapTablePastEnd,   Problem::kBitmapTableEntry,
    Problem::kBitmapDataPastEnd,    Problem::kBitmapSize,
    Problem::kBitmapDuplicateName,  Problem::kBitmapTail,
};

class BitmapMender : private MetadataMender {
 public:
  BitmapMender(RepairContext& context, ExtensionArea area)
      : MetadataMender(context), area_(std::move(area)) {}

  // True if the view was changed; the plan is told.
  absl::StatusOr<bool> Run();

 private:
  static std::string WhereOf(const BitmapDirectoryEntry& entry) {
    return absl::StrCat("bitmap \"", entry.name.substr(0, kMaxBitmapNameBytes),
                        "\"");
  }

  absl::StatusOr<bool> DropAll(Problem problem, std::string why);
  absl::StatusOr<bool> MendAll();
  // Whether the bitmap can stay, perhaps changed.
  bool MendEntry(BitmapDirectoryEntry& entry);
  void MendNames();
  absl::StatusOr<bool> MendTable(const BitmapDirectoryEntry& entry);
  absl::Status MendTail(BitmapDirectoryEntry& entry);
  void RecordExtension(uint64_t entries_found);
  absl::StatusOr<bool> WriteDirectory(bool entries_changed);

  ExtensionArea area_;
  StoredBitmaps bitmaps_;
};

absl::StatusOr<bool> BitmapMender::DropAll(Problem problem, std::string why) {
  area_.Remove(kExtensionBitmaps);
  ASSIGN_OR_RETURN(const bool written, area_.Write(view()));
  if (!written) return false;
  const uint64_t features = header().autoclear_features;
  if ((features & kAutoclearBitmaps) != 0) {
    RETURN_IF_ERROR(
        WriteBe64(view(), kAutoclearFeaturesAt, features & ~kAutoclearBitmaps));
  }
  Record(problem, "bitmaps extension", std::move(why),
         "removed, with all bitmaps");
  return true;
}

// What makes programs refuse the image. Only reserved flags are no reason to
// give the bitmap up: nobody trusts one that is in use.
bool BitmapMender::MendEntry(BitmapDirectoryEntry& entry) {
  const uint32_t issues = BitmapIssues(entry, geometry());
  if (issues == kBitmapReservedFlags) {
    Record(Problem::kBitmapDirectoryEntry, WhereOf(entry),
           absl::StrCat("flags ", Hex(entry.flags)),
           "reserved flags clear, marked as in use");
    entry.flags = (entry.flags & kKnownBitmapFlags) | kBitmapInUse;
  }
  if (!IsSoundBitmap(entry, model())) {
    const bool past_end = BitmapIssues(entry, geometry()) == 0 &&
                          Found(Problem::kBitmapTablePastEnd);
    Record(past_end ? Problem::kBitmapTablePastEnd
                    : Problem::kBitmapDirectoryEntry,
           WhereOf(entry),
           past_end ? "its table is past the end of the file"
                    : "its entry is not valid",
           "dropped");
    return false;
  }
  const uint64_t needed =
      BitmapTableEntriesFor(header().size, entry.granularity_bits, geometry());
  if (!entry.in_use() && entry.table_size != needed) {
    Record(Problem::kBitmapSize, WhereOf(entry),
           absl::StrCat("a table of ", entry.table_size,
                        " entries where the disk needs ", needed),
           "marked as in use");
    entry.flags |= kBitmapInUse;
  }
  return true;
}

// Which of two bitmaps of one name is which cannot be told.
void BitmapMender::MendNames() {
  std::unordered_map<std::string, size_t> first_of;
  std::unordered_set<std::string> names;
  for (const BitmapDirectoryEntry& entry : bitmaps_.entries) {
    names.insert(entry.name);
  }
  for (size_t i = 0; i < bitmaps_.entries.size(); ++i) {
    BitmapDirectoryEntry& entry = bitmaps_.entries[i];
    const auto [first, inserted] = first_of.emplace(entry.name, i);
    if (inserted) continue;
    std::string name;
    uint64_t number = 2;
    do {
      const std::string suffix = absl::StrCat("-", number++);
      name = entry.name.substr(0, kMaxBitmapNameBytes - suffix.size()) + suffix;
    } while (!names.insert(name).second);
    Record(Problem::kBitmapDuplicateName, WhereOf(entry), "occurs twice",
           absl::StrCat("the second is called \"", name,
                        "\", both are marked as in use"));
    bitmaps_.entries[first->second].flags |= kBitmapInUse;
    entry.flags |= kBitmapInUse;
    entry.name = name;
  }
}

// Damaged entries become "all changed": a backup then copies more than it has
// to, and misses nothing. False if the table is not the bitmap's alone, so that
// it must not be written to.
absl::StatusOr<bool> BitmapMender::MendTable(
    const BitmapDirectoryEntry& entry) {
  const uint64_t offset = entry.table_offset.value();
  const uint64_t length = entry.table_size * kBitmapTableEntrySize;
  uint64_t changed = 0;
  Problem problem = Problem::kBitmapTableEntry;
  std::vector<std::byte> piece;
  for (uint64_t at = 0; at < length; at += piece.size()) {
    piece.resize(std::min(kPieceBytes, length - at));
    // What cannot be read is a finding of its own.
    if (!ReadZeroFilled(view(), offset + at, piece).ok()) continue;
    bool piece_changed = false;
    for (uint64_t i = 0; i < piece.size(); i += kBitmapTableEntrySize) {
      const auto word = BitmapTableEntry::Decode(&piece[i]);
      const bool invalid = BitmapTableEntryIssues(word, geometry()) != 0;
      const bool past_end = word.has_cluster() &&
                            model().ReachesPastEnd(word.offset().value(),
                                                   geometry().cluster_size());
      if (!invalid && !past_end) continue;
      BitmapTableEntry(kBitmapTableAllOnes).Encode(&piece[i]);
      problem =
          invalid ? Problem::kBitmapTableEntry : Problem::kBitmapDataPastEnd;
      piece_changed = true;
      ++changed;
    }
    if (!piece_changed) continue;
    if (!HasSoleOwner(graph(), offset, length)) {
      Record(problem, WhereOf(entry), "its table is damaged, and not its alone",
             "dropped");
      return false;
    }
    RETURN_IF_ERROR(view().Pwrite(offset + at, piece));
  }
  if (changed == 0) return true;
  Record(problem, absl::StrCat(WhereOf(entry), ", its table"),
         "entries that name no data", "entries that stand for \"all changed\"",
         changed);
  return true;
}

// Clears the bits behind the one for the end of the disk.
absl::Status BitmapMender::MendTail(BitmapDirectoryEntry& entry) {
  const auto concerns = [&entry](const Finding& finding) {
    return finding.problem == Problem::kBitmapTail &&
           finding.location.table_offset == entry.table_offset.value();
  };
  const auto& warnings = context().report.warnings;
  const auto finding = std::find_if(warnings.begin(), warnings.end(), concerns);
  if (finding == warnings.end() || !finding->host || !finding->expected) {
    return absl::OkStatus();
  }
  const uint64_t offset = finding->host->offset_bytes;
  if (!HasSoleOwner(graph(), offset, geometry().cluster_size())) {
    Record(Problem::kBitmapTail, WhereOf(entry),
           "bits past the end of the disk are set, in data not its alone",
           "marked as in use");
    entry.flags |= kBitmapInUse;
    return absl::OkStatus();
  }
  const uint64_t bits_before =
      (uint64_t{entry.table_size} - 1) * geometry().cluster_size() * 8;
  const uint64_t used = *finding->expected - bits_before;
  std::vector<std::byte> data(geometry().cluster_size());
  RETURN_IF_ERROR(ReadZeroFilled(view(), offset, data));
  uint64_t byte = used / 8;
  // The first bit of a byte is its least significant one.
  data[byte] &= static_cast<std::byte>((1u << used % 8) - 1);
  std::fill(data.begin() + static_cast<ptrdiff_t>(byte) + 1, data.end(),
            std::byte{0});
  Record(Problem::kBitmapTail, WhereOf(entry),
         "bits past the end of the disk are set", "they are clear");
  return view().Pwrite(offset, data);
}

// Edits for what the extension did not say of the directory as it was found.
void BitmapMender::RecordExtension(uint64_t entries_found) {
  const BitmapExtension& extension = *model().bitmap_extension;
  const Problem extension_problem = Found(Problem::kBitmapDirectoryPastEnd)
                                        ? Problem::kBitmapDirectoryPastEnd
                                        : Problem::kBitmapExtension;
  if (extension.reserved != 0) {
    Record(Problem::kBitmapExtension, "bitmaps extension, reserved field",
           Hex(extension.reserved), "0");
  }
  if (bitmaps_.offset != extension.directory_offset.value()) {
    Record(extension_problem, "bitmaps extension, directory offset",
           Hex(extension.directory_offset.value()), Hex(bitmaps_.offset));
  }
  if (bitmaps_.length != extension.directory_size) {
    Problem problem = extension_problem;
    for (const Problem candidate :
         {Problem::kBitmapCount, Problem::kBitmapDirectoryEntry}) {
      if (Found(candidate)) problem = candidate;
    }
    Record(problem, "bitmaps extension, directory size",
           absl::StrCat(extension.directory_size),
           absl::StrCat(bitmaps_.length));
  }
  if (entries_found != extension.nb_bitmaps) {
    Record(Problem::kBitmapCount, "bitmaps extension, number of bitmaps",
           absl::StrCat(extension.nb_bitmaps), absl::StrCat(entries_found));
  }
}

// A directory that only had to be found stays where it is.
absl::StatusOr<bool> BitmapMender::WriteDirectory(bool entries_changed) {
  BitmapExtension extension;
  extension.nb_bitmaps = static_cast<uint32_t>(bitmaps_.entries.size());
  extension.directory_size = bitmaps_.length;
  uint64_t offset = bitmaps_.offset;
  if (entries_changed) {
    const std::vector<std::byte> bytes =
        EncodeBitmapDirectory(bitmaps_.entries);
    if (bytes.size() > kMaxBitmapDirectoryBytes) return false;
    ASSIGN_OR_RETURN(
        offset, PlaceTable(context(), bitmaps_.offset, bitmaps_.length, bytes));
    extension.directory_size = bytes.size();
  }
  extension.directory_offset = HostOffset(offset);
  StoredExtension* stored = area_.FindLast(kExtensionBitmaps);
  const auto data = extension.Encode();
  stored->data.assign(data.begin(), data.end());
  return area_.Write(view());
}

absl::StatusOr<bool> BitmapMender::MendAll() {
  bitmaps_ = ReadBitmapDirectory(view(), model(), *model().bitmap_extension);
  const std::vector<BitmapDirectoryEntry> found = bitmaps_.entries;
  std::vector<BitmapDirectoryEntry> kept;
  for (BitmapDirectoryEntry& entry : bitmaps_.entries) {
    if (!MendEntry(entry)) continue;
    ASSIGN_OR_RETURN(const bool usable, MendTable(entry));
    if (!usable) continue;
    RETURN_IF_ERROR(MendTail(entry));
    kept.push_back(std::move(entry));
  }
  bitmaps_.entries = std::move(kept);
  if (bitmaps_.entries.empty()) {
    const Finding* finding = nullptr;
    for (const Problem problem : kProblems) {
      if (finding == nullptr) finding = FirstFinding(problem);
    }
    return DropAll(finding->problem, "no bitmap is left");
  }
  MendNames();
  RecordExtension(found.size());
  if (!has_edits()) return false;
  return WriteDirectory(/*entries_changed=*/bitmaps_.entries != found);
}

absl::StatusOr<bool> BitmapMender::Run() {
  bool changed = false;
  if (Found(Problem::kBitmapsStale)) {
    ASSIGN_OR_RETURN(changed,
                     DropAll(Problem::kBitmapsStale,
                             "stale: the image was written to without it"));
  } else if (context().report.FoundAny(kProblems)) {
    ASSIGN_OR_RETURN(changed, MendAll());
  }
  if (!changed) return false;
  TellPlan();
  return true;
}

}  // namespace

absl::StatusOr<bool> MendBitmaps(RepairContext& context) {
  const checker::ImageModel& model = context.graph.model;
  if (!model.geometry || context.graph.map == nullptr ||
      !model.bitmap_extension) {
    return false;
  }
  std::optional<ExtensionArea> area = ExtensionArea::Read(context.view, model);
  if (!area) return false;
  const StoredExtension* stored = area->FindLast(kExtensionBitmaps);
  if (stored == nullptr || stored->data.size() != kBitmapExtensionSize) {
    return false;
  }
  return BitmapMender(context, *std::move(area)).Run();
}

}  // namespace qcow2::repair
