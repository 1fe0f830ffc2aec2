// The bitmap pass: the bitmaps extension, the bitmap directory and the bitmap
// tables. Collects where directory, tables and bitmap data lie, so that their
// clusters count as referenced. Says nothing of all that when the autoclear bit
// does not vouch for it: the bitmaps are stale then, and their clusters leaked.
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "checker/bitmap_table_reader.h"
#include "checker/pass_findings.h"
#include "checker/passes.h"
#include "checker/table_stream.h"
#include "engine/format/bitmap_directory.h"
#include "engine/format/header_extension.h"

namespace qcow2::checker {
namespace {

// QEMU loads no bitmap whose data fills more than this.
constexpr uint64_t kQemuMaxBitmapBytes = uint64_t{512} << 20;
// They only explain leaks; more would make looking them up expensive.
constexpr size_t kMaxStaleRegions = 4096;

Finding ExtensionFinding(Problem problem, std::string detail) {
  Finding finding;
  finding.problem = problem;
  finding.location.structure = Structure::kHeaderExtension;
  finding.location.field = ExtensionTypeName(kExtensionBitmaps);
  finding.detail = std::move(detail);
  return finding;
}

// Reports what is wrong with the extension. False if the directory cannot be
// found by it.
bool JudgeExtension(CheckState& state, const BitmapExtension& extension) {
  const auto report = [&state](std::string detail) {
    state.sink.Add(
        ExtensionFinding(Problem::kBitmapExtension, std::move(detail)));
  };
  const uint32_t issues = BitmapExtensionIssues(extension, kBitmapExtensionSize,
                                                *state.model.geometry);
  if ((issues & kBitmapExtensionReservedSet) != 0) {
    report("its reserved field is not zero");
  }
  if ((issues & kBitmapExtensionNoBitmaps) != 0) {
    report("it says that there are no bitmaps");
  }
  if ((issues & kBitmapExtensionTooManyBitmaps) != 0) {
    report("it says that there are " + std::to_string(extension.nb_bitmaps) +
           " bitmaps, more than " + std::to_string(kMaxBitmaps));
  }
  bool usable = true;
  if ((issues & kBitmapExtensionDirectoryTooLarge) != 0) {
    report(
        "the bitmap directory is " + std::to_string(extension.directory_size) +
        " bytes long, more than " + std::to_string(kMaxBitmapDirectoryBytes));
    usable = false;
  } else if (extension.directory_size == 0) {
    report("the bitmap directory is 0 bytes long");
  }
  const uint64_t offset = extension.directory_offset.value();
  if (!state.model.geometry->IsAligned(offset) || offset == 0 ||
      !IsAddressable(offset, kMaxBitmapDirectoryBytes)) {
    report("the bitmap directory offset " + std::to_string(offset) +
           " is not cluster aligned or out of range");
    usable = false;
  }
  return usable;
}

class DirectoryReader {
 public:
  DirectoryReader(CheckState& state, const BitmapExtension& extension)
      : state_(state),
        extension_(extension),
        stream_(state, extension.directory_offset.value()),
        tables_(state) {}

  void Run();

 private:
  // Reads the entry at position_ and moves past it. False at the end of the
  // directory or where it cannot be followed any further.
  bool ReadEntry(BitmapDirectoryEntry& entry);
  void Judge(uint64_t index, const BitmapDirectoryEntry& entry);
  void JudgeName(uint64_t index, const BitmapDirectoryEntry& entry);
  void JudgeSize(uint64_t index, const BitmapDirectoryEntry& entry);
  void ReportInvalid(uint64_t index, std::string_view name, std::string detail);
  Finding About(Problem problem, uint64_t index, std::string_view name) const;

  CheckState& state_;
  const BitmapExtension& extension_;
  TableStream stream_;
  BitmapTableReader tables_;
  uint64_t position_ = 0;
  uint64_t entries_ = 0;
  bool last_entry_invalid_ = false;
  std::unordered_map<std::string, uint64_t> index_of_name_;
};

Finding DirectoryReader::About(Problem problem, uint64_t index,
                               std::string_view name) const {
  Finding finding;
  finding.problem = problem;
  finding.location.structure = Structure::kBitmapDirectory;
  finding.location.table_offset = extension_.directory_offset.value();
  finding.location.index = index;
  finding.location.field = FieldForBitmap(name);
  return finding;
}

void DirectoryReader::ReportInvalid(uint64_t index, std::string_view name,
                                    std::string detail) {
  Finding finding = About(Problem::kBitmapDirectoryEntry, index, name);
  finding.detail = std::move(detail);
  state_.sink.Add(std::move(finding));
}

bool DirectoryReader::ReadEntry(BitmapDirectoryEntry& entry) {
  const uint64_t left = extension_.directory_size - position_;
  if (left == 0 || state_.reader.Cancelled()) return false;
  if (left < kBitmapFixedSize) {
    // After an entry whose length is not to be trusted that is no news.
    if (last_entry_invalid_) return false;
    ReportInvalid(entries_, "",
                  "only " + std::to_string(left) +
                      " bytes of the directory are left for it");
    return false;
  }
  std::array<std::byte, kBitmapFixedSize> fixed;
  std::string unreadable = stream_.ReadAt(position_, fixed);
  if (!unreadable.empty()) {
    ReportInvalid(entries_, "", "it cannot be read: " + unreadable);
    state_.model.references_incomplete = true;
    return false;
  }
  // Of the fixed part alone, the lengths of the others are what is missing.
  entry = BitmapDirectoryEntry::Decode(fixed);
  const uint64_t padded = entry.padded_size_bytes();
  if (padded > left) {
    ReportInvalid(entries_, "",
                  "it is " + std::to_string(padded) + " bytes long, but only " +
                      std::to_string(left) +
                      " bytes of the directory are left");
    state_.model.references_incomplete = true;
    return false;
  }
  std::vector<std::byte> name(entry.missing_name);
  unreadable =
      stream_.ReadAt(position_ + kBitmapFixedSize + entry.missing_extra, name);
  entry.missing_name = 0;
  for (const std::byte byte : name) {
    entry.name.push_back(static_cast<char>(byte));
  }
  if (!unreadable.empty()) {
    ReportInvalid(entries_, "", "its name cannot be read: " + unreadable);
  }
  position_ += padded;
  return true;
}

// What is wrong with the entry by itself, for programs to come as for QEMU.
std::vector<std::string> EntryFaults(const BitmapDirectoryEntry& entry,
                                     const Geometry& geometry,
                                     bool qemu_compatible) {
  struct Fault {
    BitmapIssue issue;
    std::string text;
  };
  const Fault faults[] = {
      {kBitmapTableUnaligned, "its table offset is not cluster aligned"},
      {kBitmapTableMissing, "it has no bitmap table"},
      {kBitmapTableTooLarge, "its table has more than " +
                                 std::to_string(kMaxBitmapTableEntries) +
                                 " entries"},
      {kBitmapReservedFlags, "reserved flags are set"},
      {kBitmapUnknownType, "its type " + std::to_string(entry.type) +
                               " is unknown (1 dirty tracking)"},
      {kBitmapBadGranularity, "its granularity_bits are " +
                                  std::to_string(entry.granularity_bits) +
                                  ", outside 9 to 31"},
      {kBitmapNameEmpty, "it has no name"},
      {kBitmapNameTooLong, "its name is longer than 1023 bytes"},
      {kBitmapIncompatibleExtraData, "it has extra data of an unknown kind"},
  };
  // Extra data is missing by intention; nothing else is.
  uint32_t issues = BitmapIssues(entry, geometry) & ~kBitmapCutShort;
  // qemu-img has nothing against a bitmap without a name.
  if (qemu_compatible) issues &= ~uint32_t{kBitmapNameEmpty};
  std::vector<std::string> texts;
  for (const Fault& fault : faults) {
    if ((issues & fault.issue) != 0) texts.push_back(fault.text);
  }
  const uint64_t bytes = entry.table_size * geometry.cluster_size();
  if (texts.empty() && bytes > kQemuMaxBitmapBytes) {
    texts.push_back("its table is for " + std::to_string(bytes) +
                    " bytes of bitmap, more than 512 MiB");
  }
  return texts;
}

void DirectoryReader::JudgeName(uint64_t index,
                                const BitmapDirectoryEntry& entry) {
  const auto [first, inserted] = index_of_name_.emplace(entry.name, index);
  if (inserted || entry.name.empty()) return;
  Finding finding = About(Problem::kBitmapDuplicateName, index, "");
  finding.actual = index;
  finding.expected = first->second;
  finding.detail = "\"" + entry.name.substr(0, kMaxBitmapNameBytes) + "\"";
  state_.sink.Add(std::move(finding));
}

// A bitmap in use may be older than the disk's last resize.
void DirectoryReader::JudgeSize(uint64_t index,
                                const BitmapDirectoryEntry& entry) {
  // QEMU sees a disk of whole sectors.
  const uint64_t size = state_.options.qemu_compatible
                            ? state_.model.header.size / 512 * 512
                            : state_.model.header.size;
  const uint64_t needed = BitmapTableEntriesFor(size, entry.granularity_bits,
                                                *state_.model.geometry);
  if (entry.in_use() || entry.table_size == needed) return;
  Finding finding = About(Problem::kBitmapSize, index, entry.name);
  finding.actual = entry.table_size;
  finding.expected = needed;
  state_.sink.Add(std::move(finding));
}

void DirectoryReader::Judge(uint64_t index, const BitmapDirectoryEntry& entry) {
  const std::vector<std::string> faults = EntryFaults(
      entry, *state_.model.geometry, state_.options.qemu_compatible);
  for (const std::string& fault : faults) {
    ReportInvalid(index, entry.name, fault);
  }
  last_entry_invalid_ = !faults.empty();
  if (faults.empty()) JudgeSize(index, entry);
  JudgeName(index, entry);
  if (entry.in_use()) {
    state_.sink.Add(About(Problem::kBitmapInUse, index, entry.name));
  }
  // QEMU wants neither extra data nor the flag that permits it.
  if (entry.extra_data_size() != 0 ||
      (entry.flags & kBitmapExtraDataCompatible) != 0) {
    state_.sink.AddQemuCounts({.refused = true});
  }
  tables_.Run(index, entry, faults.empty());
}

void DirectoryReader::Run() {
  BitmapDirectoryEntry entry;
  while (ReadEntry(entry)) {
    if (entries_ < kMaxBitmaps) Judge(entries_, entry);
    ++entries_;
  }
  if (entries_ != extension_.nb_bitmaps) {
    Finding finding = ExtensionFinding(Problem::kBitmapCount, "");
    finding.actual = entries_;
    finding.expected = extension_.nb_bitmaps;
    state_.sink.Add(std::move(finding));
  }
  state_.model.bitmap_count = entries_;
  state_.summary.bitmaps = entries_;
}

// Where the clusters of the bitmaps in `state` would lie if they were valid.
// Nothing is reported of them.
std::vector<MetadataRegion> RegionsOfStale(const CheckState& state) {
  CheckOptions options = state.options;
  options.deep = false;
  options.progress = nullptr;
  CheckState scratch(state.reader.file(), options);
  scratch.model = state.model;
  scratch.model.regions.clear();
  scratch.model.header.autoclear_features |= kAutoclearBitmaps;
  RunBitmapPass(scratch);
  std::vector<MetadataRegion>& regions = scratch.model.regions;
  if (regions.size() > kMaxStaleRegions) regions.resize(kMaxStaleRegions);
  return std::move(regions);
}

void ReportStale(CheckState& state) {
  const uint64_t bitmaps = state.model.bitmap_extension->nb_bitmaps;
  Finding finding = ExtensionFinding(Problem::kBitmapsStale, "");
  finding.actual = bitmaps;
  state.sink.Add(std::move(finding));
  state.summary.bitmaps = bitmaps;
  state.model.stale_regions = RegionsOfStale(state);
}

}  // namespace

void RunBitmapPass(CheckState& state) {
  const ImageModel& model = state.model;
  if (!model.bitmap_extension) return;
  const BitmapExtension& extension = *model.bitmap_extension;
  if ((model.header.autoclear_features & kAutoclearBitmaps) == 0) {
    ReportStale(state);
    return;
  }
  if (!JudgeExtension(state, extension)) {
    state.model.references_incomplete = true;
    return;
  }
  const uint64_t offset = extension.directory_offset.value();
  if (model.ReachesPastEnd(offset, extension.directory_size)) {
    Finding finding = ExtensionFinding(Problem::kBitmapDirectoryPastEnd, "");
    finding.actual = offset;
    finding.expected = model.file_size_bytes;
    finding.host = RunOf(*model.geometry, offset, extension.directory_size);
    state.sink.Add(std::move(finding));
    state.model.references_incomplete = true;
    // What is not there reads as zeros, which are no entries: findings about
    // each would only repeat this one.
    if (offset >= model.file_size_bytes) return;
  }
  AddRegion(state, {kOwnerBitmapDirectory, offset, extension.directory_size});
  DirectoryReader(state, extension).Run();
}

}  // namespace qcow2::checker
