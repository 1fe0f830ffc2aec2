#include "repair/snapshot_step.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/printable.h"
#include "engine/format/byte_order.h"
#include "engine/format/header.h"
#include "engine/format/l1_entry.h"
#include "engine/format/snapshot_table.h"
#include "engine/format/tail_fields.h"
#include "engine/status_macros.h"
#include "repair/metadata_edit.h"
#include "repair/stored_snapshots.h"
#include "repair/view_edit.h"

namespace qcow2::repair {
namespace {

using checker::Finding;
using checker::Hex;
using checker::Problem;

constexpr uint64_t kMaxL1Entries = kMaxL1Bytes / kL1EntrySize;
constexpr size_t kMaxNameShown = 255;
// Orphaned clusters in which a lost table is looked for.
constexpr uint64_t kMaxSearchedClusters = 65536;

// What this step answers, so that an image without any of it costs nothing.
constexpr Problem kProblems[] = {
    Problem::kSnapshotTableUnaligned, Problem::kSnapshotCount,
    Problem::kSnapshotTablePastEnd,   Problem::kSnapshotUnparseable,
    Problem::kSnapshotL1Unaligned,    Problem::kSnapshotL1PastEnd,
    Problem::kSnapshotL1TooLarge,     Problem::kSnapshotL1TooSmall,
    Problem::kSnapshotExtraShort,     Problem::kSnapshotExtraLong,
    Problem::kSnapshotDuplicateId,    Problem::kSnapshotDiskSize,
    Problem::kSnapshotDataFile,       Problem::kSnapshotTableTooLarge,
};

// As findings and reports name a snapshot.
std::string LabelOf(const SnapshotEntry& entry) {
  const std::string& name = entry.name.empty() ? entry.id : entry.name;
  return name.substr(0, kMaxNameShown);
}

bool IsOfZeros(const SnapshotEntry& entry) { return entry == SnapshotEntry(); }

class SnapshotMender : private MetadataMender {
 public:
  explicit SnapshotMender(RepairContext& context) : MetadataMender(context) {}

  // True if the view was changed; the plan is told.
  absl::StatusOr<bool> Run();

 private:
  absl::StatusOr<bool> MendAll();
  bool salvage() const { return context().options.mode == Mode::kSalvage; }
  uint64_t offset() const { return header().snapshots_offset.value(); }
  std::string WhereOf(const StoredSnapshot& snapshot) const;
  void AddGuestChange(const SnapshotEntry& entry, uint64_t offset,
                      uint64_t length, GuestChange::Kind kind,
                      std::string reason);

  // A table that is not where the header says.
  absl::StatusOr<bool> MendPlace(Problem problem);
  std::optional<uint64_t> FindTable() const;
  bool IsTableAt(uint64_t offset) const;
  // Whether no cluster is left over that a snapshot may have used.
  bool NothingIsLeft() const;
  absl::StatusOr<bool> MendCount();
  absl::Status WriteCount(Problem problem, uint64_t count,
                          const std::string& why);

  // What one entry needs; edits are recorded.
  void MendExtraData(StoredSnapshot& snapshot);
  void MendId(StoredSnapshot& snapshot);
  void MendDiskSize(StoredSnapshot& snapshot);
  uint64_t DiskSizeFor(const SnapshotEntry& entry) const;
  void MendL1Place(StoredSnapshot& snapshot);
  bool IsL1Usable(const SnapshotEntry& entry) const;
  absl::Status MendL1Size(StoredSnapshot& snapshot);
  bool IsToBeDropped(const StoredSnapshot& snapshot) const;
  void LeaveOutZeros();
  void DropOnRequest();
  void DropUnknown();
  absl::StatusOr<bool> WriteTable();

  StoredSnapshotTable table_;
  std::unordered_set<std::string> ids_;
};

std::string SnapshotMender::WhereOf(const StoredSnapshot& snapshot) const {
  return absl::StrCat("snapshot table, entry ", snapshot.index, " (\"",
                      LabelOf(snapshot.entry), "\")");
}

void SnapshotMender::AddGuestChange(const SnapshotEntry& entry, uint64_t offset,
                                    uint64_t length, GuestChange::Kind kind,
                                    std::string reason) {
  GuestChange change;
  change.range.offset_bytes = offset;
  change.range.length_bytes = length;
  change.range.snapshot = LabelOf(entry);
  change.kind = kind;
  change.reason = std::move(reason);
  RecordChange(std::move(change));
}

bool SnapshotMender::IsTableAt(uint64_t offset) const {
  return offset != 0 && geometry().IsAligned(offset) &&
         offset < model().file_size_bytes &&
         graph().map->At(offset >> geometry().cluster_bits()).count == 0 &&
         CountCertainSnapshots(view(), model(), offset,
                               header().nb_snapshots) == header().nb_snapshots;
}

// The one place that holds as many snapshots as the header says: the offset
// without the bits that cannot be set, or with one bit changed, or a cluster
// that is counted but belongs to nobody.
std::optional<uint64_t> SnapshotMender::FindTable() const {
  if (header().nb_snapshots > kMaxSnapshots) return std::nullopt;
  std::set<uint64_t> candidates = {offset() & ~(geometry().cluster_size() - 1)};
  for (uint32_t bit = 0; bit < 64; ++bit) {
    candidates.insert(offset() ^ (uint64_t{1} << bit));
  }
  uint64_t searched = 0;
  for (const Finding& finding : context().report.problems) {
    if (finding.problem != Problem::kClusterLeaked || !finding.host) continue;
    for (uint64_t i = 0; i < finding.host->clusters; ++i) {
      if (++searched > kMaxSearchedClusters) break;
      candidates.insert((finding.host->first_cluster + i)
                        << geometry().cluster_bits());
    }
  }
  std::optional<uint64_t> found;
  for (const uint64_t candidate : candidates) {
    if (!IsTableAt(candidate)) continue;
    if (found) return std::nullopt;
    found = candidate;
  }
  return found;
}

bool SnapshotMender::NothingIsLeft() const {
  return !model().refcounts_unknown && !Found(Problem::kClusterLeaked) &&
         !Found(Problem::kRefcountTooHigh) &&
         !Found(Problem::kRefcountBlockUnreadable);
}

absl::Status SnapshotMender::WriteCount(Problem problem, uint64_t count,
                                        const std::string& why) {
  Record(problem, "header, nb_snapshots", absl::StrCat(header().nb_snapshots),
         absl::StrCat(count, ": ", why));
  if (count == 0) {
    RETURN_IF_ERROR(WriteBe64(view(), kSnapshotsOffsetAt, 0));
  }
  return WriteBe32(view(), kSnapshotCountAt, static_cast<uint32_t>(count));
}

absl::StatusOr<bool> SnapshotMender::MendPlace(Problem problem) {
  if (header().nb_snapshots == 0) {
    Record(problem, "header, snapshots_offset", Hex(offset()),
           "0: there are no snapshots");
    RETURN_IF_ERROR(WriteBe64(view(), kSnapshotsOffsetAt, 0));
    return true;
  }
  if (const std::optional<uint64_t> found = FindTable()) {
    Record(problem, "header, snapshots_offset", Hex(offset()),
           absl::StrCat(Hex(*found), ", where a snapshot table of ",
                        header().nb_snapshots, " entries is"));
    RETURN_IF_ERROR(WriteBe64(view(), kSnapshotsOffsetAt, *found));
    return true;
  }
  if (NothingIsLeft()) {
    RETURN_IF_ERROR(WriteCount(
        problem, 0, "the file holds no table and nothing of any snapshot"));
    return true;
  }
  if (!salvage()) return false;
  context().plan.AddNote(absl::StrCat(
      header().nb_snapshots,
      " internal snapshots are given up: their table cannot be found"));
  RETURN_IF_ERROR(WriteCount(problem, 0, "the table cannot be found"));
  return true;
}

// Certain when nothing but zeros follows the last sound entry, or when one bit
// of the count explains it.
absl::StatusOr<bool> SnapshotMender::MendCount() {
  uint64_t length = 0;
  const uint64_t count =
      CountCertainSnapshots(view(), model(), offset(), kMaxSnapshots, &length);
  std::array<std::byte, kSnapshotFixedSize> behind;
  const uint64_t position = RoundUpTo8(length);
  RETURN_IF_ERROR(ReadZeroFilled(view(), offset() + position, behind));
  const bool ends_there =
      std::all_of(behind.begin(), behind.end(),
                  [](std::byte b) { return b == std::byte{0}; });
  const bool one_bit = std::has_single_bit(header().nb_snapshots ^ count);
  const bool certain = count > 0 ? ends_there || one_bit : NothingIsLeft();
  if (!certain && !salvage()) return false;
  if (!certain) {
    context().plan.AddNote(
        absl::StrCat("snapshots behind the first ", count,
                     " are given up: their entries cannot be read"));
  }
  RETURN_IF_ERROR(WriteCount(Problem::kSnapshotCount, count,
                             "so many entries can be read"));
  return true;
}

// As QEMU does: unknown extra data beyond the limit is cut off, what version 3
// asks for is added.
void SnapshotMender::MendExtraData(StoredSnapshot& snapshot) {
  SnapshotEntry& entry = snapshot.entry;
  if (snapshot.reshaped) {
    const Problem problems[] = {
        Problem::kSnapshotTablePastEnd, Problem::kSnapshotTableTooLarge,
        Problem::kSnapshotExtraLong, Problem::kSnapshotExtraShort};
    Problem problem = Problem::kSnapshotUnparseable;
    for (const Problem candidate : problems) {
      if (!Found(candidate)) continue;
      problem = candidate;
      break;
    }
    Record(problem, WhereOf(snapshot), "a length that cannot be true",
           absl::StrCat(entry.extra_data.size(),
                        " bytes of extra data, a name of ", entry.name.size(),
                        " bytes, as its content is"));
  } else if (snapshot.stored_extra_size > kMaxSnapshotExtraBytes) {
    Record(Problem::kSnapshotExtraLong, WhereOf(snapshot),
           absl::StrCat(snapshot.stored_extra_size, " bytes of extra data"),
           absl::StrCat("the first ", entry.extra_data.size(), " of them"));
  }
  if (header().version < 3 || entry.extra_data.size() >= kSnapshotExtraSizeV3) {
    return;
  }
  const uint64_t vm_state_size = entry.vm_state_size();
  const uint64_t disk_size = DiskSizeFor(entry);
  Record(Problem::kSnapshotExtraShort, WhereOf(snapshot),
         absl::StrCat(entry.extra_data.size(), " bytes of extra data"),
         absl::StrCat("VM state of ", vm_state_size, " bytes, disk of ",
                      disk_size, " bytes"));
  entry.extra_data.resize(kSnapshotExtraSizeV3);
  StoreBe64(&entry.extra_data[0], vm_state_size);
  StoreBe64(&entry.extra_data[8], disk_size);
}

// A number above all there are, as QEMU numbers new snapshots.
void SnapshotMender::MendId(StoredSnapshot& snapshot) {
  if (ids_.insert(snapshot.entry.id).second) return;
  uint64_t highest = 0;
  for (const StoredSnapshot& other : table_.entries) {
    const uint64_t number = std::strtoull(other.entry.id.c_str(), nullptr, 10);
    if (number < ~uint64_t{0}) highest = std::max(highest, number);
  }
  std::string id;
  do {
    id = absl::StrCat(++highest);
  } while (!ids_.insert(id).second);
  Record(Problem::kSnapshotDuplicateId, WhereOf(snapshot),
         absl::StrCat("ID \"", snapshot.entry.id, "\", as another has"),
         absl::StrCat("ID \"", id, "\""));
  snapshot.entry.id = id;
}

bool SnapshotMender::IsL1Usable(const SnapshotEntry& entry) const {
  const uint64_t l1_offset = entry.l1_table_offset.value();
  return geometry().IsAligned(l1_offset) && entry.l1_size <= kMaxL1Entries &&
         !model().ReachesPastEnd(l1_offset, entry.l1_size * kL1EntrySize);
}

// That of the active disk, as QEMU takes it, as far as the L1 table reaches.
// Without VM state, which lies behind the disk, all that the L1 table maps.
uint64_t SnapshotMender::DiskSizeFor(const SnapshotEntry& entry) const {
  if (entry.l1_size > kMaxL1Entries) return header().size;
  const uint64_t capacity = uint64_t{entry.l1_size}
                            << geometry().l2_coverage_bits();
  const uint64_t needed = geometry().L1EntriesFor(header().size);
  if (IsL1Usable(entry) && entry.vm_state_size() == 0 &&
      needed < entry.l1_size &&
      HasL1Entries(view(), entry.l1_table_offset.value(), needed,
                   entry.l1_size)) {
    return capacity;
  }
  return std::min(header().size, capacity);
}

void SnapshotMender::MendDiskSize(StoredSnapshot& snapshot) {
  SnapshotEntry& entry = snapshot.entry;
  const std::optional<uint64_t> size = entry.disk_size();
  if (!size || geometry().L1EntriesFor(*size) <= kMaxL1Entries ||
      geometry().L1EntriesFor(header().size) > kMaxL1Entries) {
    return;
  }
  const uint64_t right = DiskSizeFor(entry);
  Record(Problem::kSnapshotDiskSize, WhereOf(snapshot),
         absl::StrCat("disk of ", *size, " bytes"),
         absl::StrCat("disk of ", right, " bytes, as its L1 table maps"));
  StoreBe64(&entry.extra_data[8], right);
}

// An L1 table that is not where the entry says, or not that long: the one
// orphan that explains it.
void SnapshotMender::MendL1Place(StoredSnapshot& snapshot) {
  SnapshotEntry& entry = snapshot.entry;
  if (IsL1Usable(entry)) return;
  const uint64_t stored = entry.l1_table_offset.value();
  uint64_t entries = entry.l1_size;
  const bool offset_possible =
      geometry().IsAligned(stored) && stored < model().file_size_bytes;
  if (offset_possible || entries > kMaxL1Entries) {
    // With VM state behind the disk the length is not known.
    if (!entry.disk_size() || entry.vm_state_size() != 0) return;
    entries = geometry().L1EntriesFor(*entry.disk_size());
  }
  if (entries == 0 || entries > kMaxL1Entries) return;
  std::set<uint64_t> candidates;
  if (offset_possible) {
    candidates.insert(stored);
  } else {
    candidates.insert(stored & ~(geometry().cluster_size() - 1));
    for (uint32_t bit = 0; bit < 64; ++bit) {
      candidates.insert(stored ^ (uint64_t{1} << bit));
    }
  }
  std::erase_if(candidates, [&](uint64_t place) {
    return place == 0 || !geometry().IsAligned(place) ||
           place >= model().file_size_bytes ||
           !L1TableGoesOn(graph(), view(), place, 0, entries) ||
           (place != stored && !HasL1Entries(view(), place, 0, entries));
  });
  if (candidates.size() != 1) return;
  const Problem problem =
      !geometry().IsAligned(stored)   ? Problem::kSnapshotL1Unaligned
      : entry.l1_size > kMaxL1Entries ? Problem::kSnapshotL1TooLarge
                                      : Problem::kSnapshotL1PastEnd;
  Record(
      problem, WhereOf(snapshot),
      absl::StrCat("L1 table of ", entry.l1_size, " entries at ", Hex(stored)),
      absl::StrCat("L1 table of ", entries, " entries at ",
                   Hex(*candidates.begin()),
                   ", which is counted and nobody else's"));
  entry.l1_table_offset = HostOffset(*candidates.begin());
  entry.l1_size = static_cast<uint32_t>(entries);
  AddGuestChange(entry, 0, entry.disk_size().value_or(header().size),
                 GuestChange::Kind::kRecovered,
                 "the snapshot's L1 table was found");
}

// A table that maps less than the disk: where it goes on it is made longer.
// Else, in salvage, it gets a copy that reads as it does now, with nothing
// behind its end.
absl::Status SnapshotMender::MendL1Size(StoredSnapshot& snapshot) {
  SnapshotEntry& entry = snapshot.entry;
  const std::optional<uint64_t> size = entry.disk_size();
  if (!size || !IsL1Usable(entry)) return absl::OkStatus();
  const uint64_t entries = entry.l1_size;
  const uint64_t wanted = geometry().L1EntriesFor(*size);
  if (entries >= wanted || wanted > kMaxL1Entries) return absl::OkStatus();
  const uint64_t place = entry.l1_table_offset.value();
  const uint64_t begin = entries << geometry().l2_coverage_bits();
  const std::string before = absl::StrCat("L1 table of ", entries, " entries");
  if (place != 0 && L1TableGoesOn(graph(), view(), place, entries, wanted)) {
    Record(Problem::kSnapshotL1TooSmall, WhereOf(snapshot), before,
           absl::StrCat("of ", wanted, ", as it goes on behind its end"));
    if (HasL1Entries(view(), place, entries, wanted)) {
      AddGuestChange(entry, begin, *size - begin, GuestChange::Kind::kRecovered,
                     "the L1 table goes on behind its end");
    }
  } else if (salvage()) {
    const uint64_t bytes = wanted * kL1EntrySize;
    ASSIGN_OR_RETURN(const uint64_t copy,
                     context().free_clusters.Allocate(
                         graph(), geometry().ClustersFor(bytes), view()));
    const uint64_t old_bytes = entries * kL1EntrySize;
    RETURN_IF_ERROR(CopyBytes(view(), place, copy, old_bytes));
    RETURN_IF_ERROR(WriteZeros(
        view(), copy + old_bytes,
        (geometry().ClustersFor(bytes) << geometry().cluster_bits()) -
            old_bytes));
    Record(Problem::kSnapshotL1TooSmall, WhereOf(snapshot), before,
           absl::StrCat("a copy of ", wanted, " entries at ", Hex(copy),
                        ", the new ones empty"));
    AddGuestChange(entry, begin, *size - begin, GuestChange::Kind::kLost,
                   "the snapshot's L1 table ends before it");
    entry.l1_table_offset = HostOffset(copy);
  } else {
    return absl::OkStatus();
  }
  entry.l1_size = static_cast<uint32_t>(wanted);
  return absl::OkStatus();
}

// Entries of zeros at the end of the table, which may be the end of the file,
// are none: the count is too large. But they might have been some, as long as
// the file holds anything of a snapshot that is missing.
void SnapshotMender::LeaveOutZeros() {
  const uint64_t position = RoundUpTo8(table_.length);
  std::array<std::byte, kSnapshotFixedSize> behind;
  const bool ends_in_zeros =
      !table_.complete &&
      ReadZeroFilled(view(), offset() + position, behind).ok() &&
      std::all_of(behind.begin(), behind.end(),
                  [](std::byte b) { return b == std::byte{0}; });
  const bool last_is_zeros =
      !table_.entries.empty() && IsOfZeros(table_.entries.back().entry);
  if ((!ends_in_zeros && !last_is_zeros) || !NothingIsLeft()) return;
  table_.complete |= ends_in_zeros;
  while (!table_.entries.empty() && IsOfZeros(table_.entries.back().entry)) {
    table_.entries.pop_back();
  }
  Problem problem = Problem::kSnapshotDuplicateId;
  for (const Problem candidate :
       {Problem::kSnapshotExtraShort, Problem::kSnapshotTablePastEnd}) {
    if (Found(candidate)) problem = candidate;
  }
  Record(problem, "header, nb_snapshots", absl::StrCat(header().nb_snapshots),
         absl::StrCat(table_.entries.size(),
                      ": behind them there are only zeros"));
}

bool SnapshotMender::IsToBeDropped(const StoredSnapshot& snapshot) const {
  const std::vector<std::string>& names = context().options.drop_snapshots;
  const auto named = [&names](const std::string& text) {
    return std::find(names.begin(), names.end(), text) != names.end();
  };
  return (model().external_data_file || !IsL1Usable(snapshot.entry)) &&
         (named(snapshot.entry.name) || named(snapshot.entry.id));
}

void SnapshotMender::DropOnRequest() {
  std::erase_if(table_.entries, [this](const StoredSnapshot& snapshot) {
    if (!IsToBeDropped(snapshot)) return false;
    const SnapshotEntry& entry = snapshot.entry;
    const uint64_t l1_offset = entry.l1_table_offset.value();
    Problem problem = Problem::kSnapshotDataFile;
    if (!geometry().IsAligned(l1_offset)) {
      problem = Problem::kSnapshotL1Unaligned;
    } else if (entry.l1_size > kMaxL1Entries) {
      problem = Problem::kSnapshotL1TooLarge;
    } else if (!IsL1Usable(entry)) {
      problem = Problem::kSnapshotL1PastEnd;
    }
    Record(problem, WhereOf(snapshot), "damaged", "dropped, as asked for");
    AddGuestChange(entry, 0, entry.disk_size().value_or(header().size),
                   GuestChange::Kind::kLost, "the snapshot is dropped");
    return true;
  });
}

// In salvage, entries that cannot be read go, and those behind them.
void SnapshotMender::DropUnknown() {
  Problem problem = Problem::kSnapshotUnparseable;
  if (Found(Problem::kSnapshotTablePastEnd)) {
    problem = Problem::kSnapshotTablePastEnd;
  } else if (Found(Problem::kSnapshotTableTooLarge)) {
    problem = Problem::kSnapshotTableTooLarge;
  }
  const uint64_t unknown = header().nb_snapshots - table_.entries.size();
  context().plan.AddNote(
      absl::StrCat(unknown,
                   " internal snapshots are given up: their entries in the "
                   "snapshot table cannot be read"));
  Record(problem,
         absl::StrCat("snapshot table, entries from ", table_.entries.size(),
                      " on"),
         "cannot be read", "left out");
}

absl::StatusOr<bool> SnapshotMender::WriteTable() {
  std::vector<SnapshotEntry> entries;
  entries.reserve(table_.entries.size());
  for (StoredSnapshot& snapshot : table_.entries) {
    entries.push_back(std::move(snapshot.entry));
  }
  uint64_t place = 0;
  if (!entries.empty()) {
    const std::vector<std::byte> bytes = EncodeSnapshotTable(entries);
    if (bytes.size() > kMaxSnapshotTableBytes) return false;
    ASSIGN_OR_RETURN(
        place, PlaceTable(context(), table_.offset, table_.length, bytes));
  }
  RETURN_IF_ERROR(WriteBe32(view(), kSnapshotCountAt,
                            static_cast<uint32_t>(entries.size())));
  RETURN_IF_ERROR(WriteBe64(view(), kSnapshotsOffsetAt, place));
  return true;
}

absl::StatusOr<bool> SnapshotMender::MendAll() {
  if (Found(Problem::kSnapshotTableUnaligned)) {
    return MendPlace(Problem::kSnapshotTableUnaligned);
  }
  if (header().nb_snapshots == 0) return false;
  if (Found(Problem::kSnapshotTablePastEnd) &&
      offset() >= model().file_size_bytes) {
    return MendPlace(Problem::kSnapshotTablePastEnd);
  }
  if (Found(Problem::kSnapshotCount)) return MendCount();

  table_ = ReadSnapshotTable(view(), model(), offset(), header().nb_snapshots);
  LeaveOutZeros();
  if (!table_.complete) {
    if (!salvage()) return false;
    DropUnknown();
  }
  for (StoredSnapshot& snapshot : table_.entries) {
    if (IsOfZeros(snapshot.entry)) continue;
    MendL1Place(snapshot);
    MendExtraData(snapshot);
    MendId(snapshot);
    MendDiskSize(snapshot);
    RETURN_IF_ERROR(MendL1Size(snapshot));
  }
  if (salvage()) DropOnRequest();
  if (!has_edits()) return false;
  return WriteTable();
}

absl::StatusOr<bool> SnapshotMender::Run() {
  ASSIGN_OR_RETURN(const bool changed, MendAll());
  if (!changed) return false;
  TellPlan();
  return true;
}

}  // namespace

absl::StatusOr<bool> MendSnapshotTable(RepairContext& context) {
  if (!context.graph.model.geometry || context.graph.map == nullptr) {
    return false;
  }
  if (!context.report.FoundAny(kProblems)) return false;
  return SnapshotMender(context).Run();
}

}  // namespace qcow2::repair
