// The snapshot pass: reads the snapshot table entry by entry and judges each.
// Collects every snapshot's L1 table and where the table itself lies. What the
// L1 tables hold is left to the passes that follow them.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "checker/pass_findings.h"
#include "checker/passes.h"
#include "checker/table_stream.h"
#include "engine/format/snapshot_table.h"

namespace qcow2::checker {
namespace {

constexpr uint64_t kL1EntryBytes = 8;
constexpr uint64_t kMaxL1Entries = kMaxL1Bytes / kL1EntryBytes;
// The extra data's fields with a meaning.
constexpr uint64_t kKnownExtraBytes = 24;
// Names are kept to be shown; QEMU's have at most 255 bytes.
constexpr size_t kMaxNameShown = 255;

// One entry of the table and where it stands.
struct TableEntry {
  uint64_t index = 0;
  uint64_t position = 0;  // from the table's start
  uint64_t size_bytes = 0;
  uint64_t extra_size = 0;
  SnapshotEntry entry;
  std::string unreadable;  // why the part behind the fixed fields is unknown
};

std::string NameOf(const TableEntry& entry) {
  const std::string& name =
      entry.entry.name.empty() ? entry.entry.id : entry.entry.name;
  return name.substr(0, kMaxNameShown);
}

class SnapshotTableReader {
 public:
  SnapshotTableReader(CheckState& state, uint64_t table_offset)
      : state_(state),
        table_offset_(table_offset),
        stream_(state, table_offset) {}

  // Reads and judges up to `count` entries. With `only_plausible`, stops before
  // the first that does not look like one.
  void Run(uint64_t count, bool only_plausible);
  // Bytes from the table's start to the end of the last entry read.
  uint64_t table_bytes() const { return table_bytes_; }
  uint64_t entries() const { return entries_; }

 private:
  bool ReadEntry(uint64_t index, TableEntry& result);
  bool Plausible(const TableEntry& entry) const;
  void Judge(const TableEntry& entry);
  void JudgeId(const TableEntry& entry);
  void JudgeDiskSize(const TableEntry& entry);
  void TakeL1(const TableEntry& entry);
  Finding About(Problem problem, const TableEntry& entry) const;

  CheckState& state_;
  const uint64_t table_offset_;
  TableStream stream_;
  uint64_t table_bytes_ = 0;
  uint64_t entries_ = 0;
  std::unordered_map<std::string, uint64_t> index_of_id_;
};

Finding SnapshotTableReader::About(Problem problem,
                                   const TableEntry& entry) const {
  Finding finding;
  finding.problem = problem;
  finding.location.structure = Structure::kSnapshotTable;
  finding.location.table_offset = table_offset_;
  finding.location.index = entry.index;
  finding.location.snapshot = NameOf(entry);
  return finding;
}

// Reads the entry at result.position. False if it cannot be told where it ends
// or the table may not be that long; that is reported.
bool SnapshotTableReader::ReadEntry(uint64_t index, TableEntry& result) {
  result.index = index;
  result.position = (table_bytes_ + kSnapshotAlignment - 1) /
                    kSnapshotAlignment * kSnapshotAlignment;
  std::array<std::byte, kSnapshotFixedSize> fixed;
  const std::string unreadable = stream_.ReadAt(result.position, fixed);
  if (!unreadable.empty()) {
    Finding finding = About(Problem::kSnapshotUnparseable, result);
    finding.detail = unreadable;
    state_.sink.Add(std::move(finding));
    return false;
  }
  // Of the fixed part alone, the lengths of the others are what is missing.
  SnapshotEntry& entry = result.entry;
  entry = SnapshotEntry::Decode(fixed);
  result.extra_size = entry.missing_extra;
  result.size_bytes = entry.size_bytes();
  const uint64_t end = result.position + result.size_bytes;
  if (end > kMaxSnapshotTableBytes) {
    Finding finding = About(Problem::kSnapshotTableTooLarge, result);
    finding.actual = end;
    finding.expected = kMaxSnapshotTableBytes;
    state_.sink.Add(std::move(finding));
    return false;
  }
  std::vector<std::byte> bytes(fixed.begin(), fixed.end());
  bytes.resize(kSnapshotFixedSize +
               std::min(result.extra_size, kKnownExtraBytes));
  uint64_t from = result.position + kSnapshotFixedSize;
  const auto variable = std::span(bytes).subspan(kSnapshotFixedSize);
  result.unreadable = stream_.ReadAt(from, variable);
  entry.extra_data.assign(variable.begin(), variable.end());
  entry.missing_extra -= static_cast<uint32_t>(variable.size());

  from += result.extra_size;
  bytes.resize(uint64_t{entry.missing_id} + entry.missing_name);
  const std::string unreadable_name = stream_.ReadAt(from, bytes);
  if (result.unreadable.empty()) result.unreadable = unreadable_name;
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string& text = i < entry.missing_id ? entry.id : entry.name;
    text.push_back(static_cast<char>(bytes[i]));
  }
  entry.missing_id = 0;
  entry.missing_name = 0;
  return true;
}

// Whether the entry can be taken for one where the count is not to be trusted.
bool SnapshotTableReader::Plausible(const TableEntry& entry) const {
  const ImageModel& model = state_.model;
  const uint64_t offset = entry.entry.l1_table_offset.value();
  return entry.unreadable.empty() && !entry.entry.id.empty() &&
         entry.extra_size <= kMaxSnapshotExtraBytes &&
         entry.entry.l1_size > 0 && entry.entry.l1_size <= kMaxL1Entries &&
         offset != 0 && model.geometry->IsAligned(offset) &&
         !model.ReachesPastEnd(offset, entry.entry.l1_size * kL1EntryBytes);
}

void SnapshotTableReader::Run(uint64_t count, bool only_plausible) {
  for (uint64_t index = 0; index < count && !state_.reader.Cancelled();
       ++index) {
    TableEntry entry;
    if (!ReadEntry(index, entry)) {
      state_.model.references_incomplete = true;
      return;
    }
    if (only_plausible && !Plausible(entry)) return;
    table_bytes_ = entry.position + entry.size_bytes;
    entries_ = index + 1;
    Judge(entry);
  }
}

void SnapshotTableReader::Judge(const TableEntry& entry) {
  if (!entry.unreadable.empty()) {
    Finding finding = About(Problem::kSnapshotUnparseable, entry);
    finding.detail = entry.unreadable;
    state_.sink.Add(std::move(finding));
  }
  if (entry.extra_size > kMaxSnapshotExtraBytes) {
    Finding finding = About(Problem::kSnapshotExtraLong, entry);
    finding.actual = entry.extra_size;
    finding.expected = kMaxSnapshotExtraBytes;
    state_.sink.Add(std::move(finding));
  }
  if (state_.model.header.version >= 3 &&
      entry.extra_size < kSnapshotExtraSizeV3) {
    Finding finding = About(Problem::kSnapshotExtraShort, entry);
    finding.actual = entry.extra_size;
    finding.expected = kSnapshotExtraSizeV3;
    state_.sink.Add(std::move(finding));
  }
  if (entry.unreadable.empty()) {
    JudgeId(entry);
    JudgeDiskSize(entry);
  }
  TakeL1(entry);
}

void SnapshotTableReader::JudgeId(const TableEntry& entry) {
  const auto [first, inserted] =
      index_of_id_.emplace(entry.entry.id, entry.index);
  if (inserted) return;
  Finding finding = About(Problem::kSnapshotDuplicateId, entry);
  finding.actual = entry.index;
  finding.expected = first->second;
  finding.detail = "\"" + entry.entry.id.substr(0, kMaxNameShown) + "\"";
  state_.sink.Add(std::move(finding));
}

// Version 2 does not record the disk's size; there is nothing to hold the L1
// table against then.
void SnapshotTableReader::JudgeDiskSize(const TableEntry& entry) {
  const std::optional<uint64_t> size = entry.entry.disk_size();
  if (!size) return;
  const uint64_t needed = state_.model.geometry->L1EntriesFor(*size);
  if (needed > kMaxL1Entries) {
    Finding finding = About(Problem::kSnapshotDiskSize, entry);
    finding.location.field = "disk size";
    finding.actual = *size;
    state_.sink.Add(std::move(finding));
  } else if (entry.entry.l1_size < needed) {
    Finding finding = About(Problem::kSnapshotL1TooSmall, entry);
    finding.location.field = "l1_size";
    finding.actual = entry.entry.l1_size;
    finding.expected = needed;
    state_.sink.Add(std::move(finding));
  }
}

// Adds the snapshot's L1 table to the model, if it can be located.
void SnapshotTableReader::TakeL1(const TableEntry& entry) {
  ImageModel& model = state_.model;
  const uint64_t offset = entry.entry.l1_table_offset.value();
  const uint64_t length = entry.entry.l1_size * kL1EntryBytes;
  if (!model.geometry->IsAligned(offset)) {
    Finding finding = About(Problem::kSnapshotL1Unaligned, entry);
    finding.location.field = "l1_table_offset";
    finding.actual = offset;
    state_.sink.Add(std::move(finding));
    model.references_incomplete = true;
    return;
  }
  if (entry.entry.l1_size > kMaxL1Entries) {
    Finding finding = About(Problem::kSnapshotL1TooLarge, entry);
    finding.location.field = "l1_size";
    finding.actual = entry.entry.l1_size;
    finding.expected = kMaxL1Entries;
    state_.sink.Add(std::move(finding));
    model.references_incomplete = true;
    return;
  }
  if (length == 0) return;
  if (model.ReachesPastEnd(offset, length)) {
    Finding finding = About(Problem::kSnapshotL1PastEnd, entry);
    finding.location.field = "l1_table_offset";
    finding.actual = offset;
    finding.expected = model.file_size_bytes;
    finding.host = RunOf(*model.geometry, offset, length);
    state_.sink.Add(std::move(finding));
    model.references_incomplete = true;
    if (!IsAddressable(offset, length)) {
      // QEMU tries to read the table and gives up.
      state_.sink.AddQemuCounts({.check_errors = 1});
      return;
    }
  }
  L1Table table;
  table.snapshot_index = entry.index;
  table.snapshot_name = NameOf(entry);
  table.snapshot_id = entry.entry.id.substr(0, kMaxNameShown);
  table.offset_bytes = offset;
  table.entries = entry.entry.l1_size;
  table.disk_size_bytes = entry.entry.disk_size().value_or(model.header.size);
  model.l1_tables.push_back(std::move(table));
  AddRegion(state_, {kOwnerInactiveL1, offset, length, entry.index});
}

void JudgeDataFile(CheckState& state) {
  if (!state.model.external_data_file) return;
  state.sink.Add(HeaderFinding(Problem::kSnapshotDataFile, "nb_snapshots",
                               state.model.header.nb_snapshots, 0));
}

// Adds the table of `length` bytes to the model.
void TakeTable(CheckState& state, uint64_t offset, uint64_t length) {
  if (length == 0) return;
  if (state.model.ReachesPastEnd(offset, length)) {
    Finding finding =
        HeaderFinding(Problem::kSnapshotTablePastEnd, "snapshots_offset",
                      offset, state.model.file_size_bytes);
    finding.host = RunOf(*state.model.geometry, offset, length);
    state.sink.Add(std::move(finding));
    state.model.references_incomplete = true;
  }
  AddRegion(state, {kOwnerSnapshotTable, offset, length});
}

}  // namespace

void RunSnapshotPass(CheckState& state) {
  ImageModel& model = state.model;
  const uint64_t offset = model.header.snapshots_offset.value();
  const uint64_t count = model.header.nb_snapshots;
  // QEMU wants the offset to be aligned even where there are no snapshots.
  if (!model.geometry->IsAligned(offset) ||
      !IsAddressable(offset, count == 0 ? 0 : kMaxSnapshotTableBytes)) {
    state.sink.Add(HeaderFinding(Problem::kSnapshotTableUnaligned,
                                 "snapshots_offset", offset));
    model.references_incomplete |= count > 0;
    return;
  }
  if (count == 0) return;
  JudgeDataFile(state);
  const bool too_many = count > kMaxSnapshots;
  if (too_many) {
    state.sink.Add(HeaderFinding(Problem::kSnapshotCount, "nb_snapshots", count,
                                 kMaxSnapshots));
    model.references_incomplete = true;
  }
  SnapshotTableReader reader(state, offset);
  reader.Run(std::min(count, kMaxSnapshots), too_many);
  TakeTable(state, offset, reader.table_bytes());
  model.snapshot_count = reader.entries();
  state.summary.snapshots = model.snapshot_count;
}

}  // namespace qcow2::checker
