#include "engine/image/snapshots.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/format/byte_order.h"
#include "engine/format/header.h"
#include "engine/format/l1_entry.h"
#include "engine/image/bitmap_store.h"
#include "engine/image/bitmaps.h"
#include "engine/image/header_area.h"
#include "engine/image/new_table.h"
#include "engine/image/snapshot_graph.h"
#include "engine/mutex.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// What new entries have as extra data: VM state size, disk size, instructions.
constexpr size_t kSnapshotExtraSize = 24;
// Stands for an instruction count that nobody took.
constexpr uint64_t kNoInstructionCount = ~uint64_t{0};

absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

// The place of the snapshot with that id, or else name; the number of snapshots
// if there is none.
size_t IndexOf(const std::vector<SnapshotEntry>& snapshots,
               std::string_view id_or_name) {
  const auto by_id = std::find_if(
      snapshots.begin(), snapshots.end(),
      [&](const SnapshotEntry& entry) { return entry.id == id_or_name; });
  if (by_id != snapshots.end()) return by_id - snapshots.begin();
  return std::find_if(snapshots.begin(), snapshots.end(),
                      [&](const SnapshotEntry& entry) {
                        return entry.name == id_or_name;
                      }) -
         snapshots.begin();
}

absl::StatusOr<size_t> Find(const Metadata& metadata, const File& file,
                            std::string_view id_or_name) {
  const size_t index = IndexOf(metadata.snapshots(), id_or_name);
  if (index < metadata.snapshots().size()) return index;
  return absl::NotFoundError(
      absl::StrCat(file.name(), ": there is no snapshot with the id or name \"",
                   View(id_or_name), "\""));
}

absl::Status CheckText(const ImageCore& core, const char* what,
                       const std::string& text, size_t most) {
  if (!text.empty() && text.size() <= most &&
      text.find('\0') == std::string::npos) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      core.file->name(), ": a snapshot's ", what, " has 1 to ", most,
      " bytes, none of them NUL; \"", text, "\" is not one"));
}

absl::Status CheckPossible(const Metadata& metadata, const ImageCore& core) {
  if (metadata.header().has_external_data_file()) {
    return absl::FailedPreconditionError(
        absl::StrCat(core.file->name(),
                     ": an image with an external data file cannot have "
                     "snapshots: its clusters are not counted"));
  }
  return absl::OkStatus();
}

absl::Status CheckNew(const Metadata& metadata, const ImageCore& core,
                      const NewSnapshot& snapshot) {
  RETURN_IF_ERROR(CheckPossible(metadata, core));
  RETURN_IF_ERROR(
      CheckText(core, "name", snapshot.name, kMaxSnapshotNameBytes));
  if (snapshot.id.has_value()) {
    RETURN_IF_ERROR(CheckText(core, "id", *snapshot.id, kMaxSnapshotIdBytes));
  }
  for (const SnapshotEntry& entry : metadata.snapshots()) {
    if (entry.name != snapshot.name && entry.id != snapshot.id) continue;
    return absl::AlreadyExistsError(
        absl::StrCat(core.file->name(), ": there is a snapshot \"", entry.name,
                     "\" with the id \"", entry.id, "\" already"));
  }
  if (metadata.snapshots().size() >= kMaxSnapshots) {
    return absl::ResourceExhaustedError(
        absl::StrCat(core.file->name(), ": the image has ", kMaxSnapshots,
                     " snapshots, and there cannot be more"));
  }
  return absl::OkStatus();
}

// The number after the highest that is an id, else the first that is none.
std::string NextId(const std::vector<SnapshotEntry>& snapshots) {
  uint64_t highest = 0;
  for (const SnapshotEntry& entry : snapshots) {
    uint64_t number = 0;
    const char* end = entry.id.data() + entry.id.size();
    const auto parsed = std::from_chars(entry.id.data(), end, number);
    if (parsed.ec == std::errc() && parsed.ptr == end) {
      highest = std::max(highest, number);
    }
  }
  if (highest < std::numeric_limits<uint64_t>::max()) {
    return absl::StrCat(highest + 1);
  }
  uint64_t free = 1;
  const auto taken = [&](const SnapshotEntry& entry) {
    return entry.id == absl::StrCat(free);
  };
  while (std::any_of(snapshots.begin(), snapshots.end(), taken)) ++free;
  return absl::StrCat(free);
}

SnapshotEntry EntryFor(const NewSnapshot& snapshot, const Metadata& metadata) {
  SnapshotEntry entry;
  entry.l1_size = static_cast<uint32_t>(metadata.l1_size());
  entry.date_seconds = snapshot.date_seconds;
  entry.date_nanoseconds = snapshot.date_nanoseconds;
  entry.vm_clock_nanoseconds = snapshot.vm_clock_nanoseconds;
  entry.vm_state_size_32 = static_cast<uint32_t>(
      std::min<uint64_t>(snapshot.vm_state_size, ~uint32_t{0}));
  entry.extra_data.resize(kSnapshotExtraSize);
  StoreBe64(entry.extra_data.data(), snapshot.vm_state_size);
  StoreBe64(entry.extra_data.data() + 8, metadata.header().size);
  StoreBe64(entry.extra_data.data() + 16,
            snapshot.instruction_count.value_or(kNoInstructionCount));
  entry.id = snapshot.id.value_or(NextId(metadata.snapshots()));
  entry.name = snapshot.name;
  return entry;
}

// One operation on the snapshots of an image that nobody else uses meanwhile:
// all ranges and the metadata are held.
class SnapshotWork {
 public:
  explicit SnapshotWork(ImageCore& core)
      : core_(core),
        metadata_(*core.metadata),
        geometry_(core.metadata->geometry()) {}

  absl::StatusOr<SnapshotEntry> Create(const NewSnapshot& snapshot);
  absl::Status Apply(std::string_view id_or_name);
  absl::Status Delete(std::string_view id_or_name);

 private:
  absl::StatusOr<ClusterRun> WriteSnapshotTable(
      std::vector<SnapshotEntry>& snapshots);
  absl::StatusOr<ClusterRun> WriteL1Copy(SnapshotEntry& entry);
  // The rest of Create once its tables are written.
  absl::Status ShareWithSnapshot();
  absl::Status DropVmState();
  absl::StatusOr<std::vector<uint64_t>> EntriesToApply(
      const SnapshotEntry& snapshot, uint64_t disk_size);
  // COPIED off where the snapshot's tables have it.
  absl::Status ClearCopiedOf(std::span<const uint64_t> entries);
  // Makes the active disk one of that size and L1 table, all of it dirty.
  absl::Status SwitchDisk(uint64_t disk_size,
                          const std::vector<uint64_t>& entries);

  ImageCore& core_;
  Metadata& metadata_;
  const Geometry& geometry_;
};

absl::StatusOr<ClusterRun> SnapshotWork::WriteL1Copy(SnapshotEntry& entry) {
  std::vector<std::byte> bytes(metadata_.l1_size() * kL1EntrySize);
  for (uint64_t i = 0; i < metadata_.l1_size(); ++i) {
    StoreBe64(bytes.data() + i * kL1EntrySize,
              metadata_.l1_entry(i).raw() & ~kCopiedFlag);
  }
  ASSIGN_OR_RETURN(const ClusterRun run, WriteNewTable(metadata_, bytes));
  entry.l1_table_offset = geometry_.OffsetOf(run.first);
  return run;
}

absl::StatusOr<ClusterRun> SnapshotWork::WriteSnapshotTable(
    std::vector<SnapshotEntry>& snapshots) {
  if (metadata_.header().version >= 3) {
    CompleteSnapshots(snapshots, metadata_.header().size);
  }
  return WriteNewSnapshotTable(metadata_, snapshots);
}

absl::Status SnapshotWork::ShareWithSnapshot() {
  RETURN_IF_ERROR(CountGraph(metadata_, metadata_.l1()));
  RETURN_IF_ERROR(metadata_.FlushCounts());
  RETURN_IF_ERROR(ClearCopied(metadata_));
  return metadata_.Flush();
}

// The disk has no use for the VM state that is in the snapshot now.
absl::Status SnapshotWork::DropVmState() {
  const uint64_t first = geometry_.L1EntriesFor(metadata_.header().size);
  if (first >= metadata_.l1_size()) return absl::OkStatus();
  const std::vector<uint64_t> dropped(
      metadata_.l1().begin() + static_cast<ptrdiff_t>(first),
      metadata_.l1().end());
  for (uint64_t i = first; i < metadata_.l1_size(); ++i) {
    metadata_.SetL1Entry(i, L1Entry());
  }
  RETURN_IF_ERROR(metadata_.Flush());
  return UncountGraph(metadata_, dropped);
}

absl::StatusOr<SnapshotEntry> SnapshotWork::Create(
    const NewSnapshot& snapshot) {
  RETURN_IF_ERROR(metadata_.BeginChange());
  RETURN_IF_ERROR(CheckNew(metadata_, core_, snapshot));
  RETURN_IF_ERROR(metadata_.FlushCounts());
  SnapshotEntry entry = EntryFor(snapshot, metadata_);
  ASSIGN_OR_RETURN(const ClusterRun l1_run, WriteL1Copy(entry));
  std::vector<SnapshotEntry> snapshots = metadata_.snapshots();
  snapshots.push_back(entry);
  const absl::StatusOr<ClusterRun> table_run = WriteSnapshotTable(snapshots);
  absl::Status status = table_run.status();
  if (status.ok()) status = ShareWithSnapshot();
  if (!status.ok()) {
    metadata_.FreeLater(l1_run, FreeReason::kOther);
    if (table_run.ok()) metadata_.FreeLater(*table_run, FreeReason::kOther);
    return status;
  }
  RETURN_IF_ERROR(
      SwitchToSnapshotTable(metadata_, *table_run, std::move(snapshots)));
  RETURN_IF_ERROR(DropVmState());
  RETURN_IF_ERROR(metadata_.Flush());
  return entry;
}

absl::StatusOr<std::vector<uint64_t>> SnapshotWork::EntriesToApply(
    const SnapshotEntry& snapshot, uint64_t disk_size) {
  const uint64_t needed = geometry_.L1EntriesFor(disk_size);
  if (needed > kMaxL1Bytes / kL1EntrySize) {
    return absl::DataLossError(
        absl::StrCat(core_.file->name(), ": snapshot \"", snapshot.name,
                     "\" claims a disk of ", disk_size, " bytes"));
  }
  ASSIGN_OR_RETURN(std::vector<uint64_t> entries,
                   ReadSnapshotL1(metadata_, snapshot));
  // VM state stays with the snapshot. An L1 table has an entry at least.
  entries.resize(std::max<uint64_t>(needed, 1));
  if (needed == 0) entries[0] = 0;
  for (uint64_t& raw : entries) raw &= ~kCopiedFlag;
  return entries;
}

absl::Status SnapshotWork::ClearCopiedOf(std::span<const uint64_t> entries) {
  // The guard takes the snapshots' tables for nobody's to write.
  std::vector<ClusterRun> watched;
  for (const uint64_t raw : entries) {
    if (!L1Entry(raw).has_l2_table()) continue;
    const ClusterRun run{geometry_.ClusterOf(L1Entry(raw).l2_offset()), 1};
    if ((metadata_.guard().Find(run) & kOverlapInactiveL2) == 0) continue;
    watched.push_back(run);
    metadata_.guard().Remove(kOverlapInactiveL2, run);
  }
  absl::Status status = ClearCopiedInL2(metadata_, entries);
  if (status.ok()) status = metadata_.Flush();
  for (const ClusterRun& run : watched) {
    metadata_.guard().Add(kOverlapInactiveL2, run);
  }
  return status;
}

absl::Status SnapshotWork::SwitchDisk(uint64_t disk_size,
                                      const std::vector<uint64_t>& entries) {
  const auto switch_header = [&](HeaderArea next) {
    next.header.size = disk_size;
    return metadata_.ReplaceL1(std::move(next), entries);
  };
  if (disk_size != metadata_.header().size && HasConsistentBitmaps(metadata_)) {
    return ReplaceDiskAndBitmaps(core_, disk_size, switch_header);
  }
  RETURN_IF_ERROR(
      core_.NoteChange(0, std::max(disk_size, metadata_.header().size)));
  return switch_header(metadata_.area());
}

absl::Status SnapshotWork::Apply(std::string_view id_or_name) {
  RETURN_IF_ERROR(metadata_.BeginChange());
  RETURN_IF_ERROR(CheckPossible(metadata_, core_));
  ASSIGN_OR_RETURN(const size_t index,
                   Find(metadata_, *core_.file, id_or_name));
  const SnapshotEntry snapshot = metadata_.snapshots()[index];
  const uint64_t size_before = metadata_.header().size;
  const uint64_t disk_size = snapshot.disk_size().value_or(size_before);
  if (disk_size != size_before) {
    RETURN_IF_ERROR(CheckBitmapsCanResizeHeld(core_, disk_size));
  }
  RETURN_IF_ERROR(metadata_.FlushCounts());
  ASSIGN_OR_RETURN(const std::vector<uint64_t> entries,
                   EntriesToApply(snapshot, disk_size));
  RETURN_IF_ERROR(CountGraph(metadata_, entries));
  const std::vector<uint64_t> before = metadata_.l1();
  absl::Status status = metadata_.FlushCounts();
  if (status.ok()) status = ClearCopiedOf(entries);
  if (status.ok()) status = SwitchDisk(disk_size, entries);
  if (!status.ok()) {
    UncountGraph(metadata_, entries).IgnoreError();
    return status;
  }
  core_.size_bytes = disk_size;
  RETURN_IF_ERROR(UncountGraph(metadata_, before));
  return metadata_.Flush();
}

absl::Status SnapshotWork::Delete(std::string_view id_or_name) {
  RETURN_IF_ERROR(metadata_.BeginChange());
  RETURN_IF_ERROR(CheckPossible(metadata_, core_));
  ASSIGN_OR_RETURN(const size_t index,
                   Find(metadata_, *core_.file, id_or_name));
  const SnapshotEntry snapshot = metadata_.snapshots()[index];
  RETURN_IF_ERROR(metadata_.FlushCounts());
  ASSIGN_OR_RETURN(const std::vector<uint64_t> entries,
                   ReadSnapshotL1(metadata_, snapshot));
  std::vector<SnapshotEntry> snapshots = metadata_.snapshots();
  snapshots.erase(snapshots.begin() + static_cast<ptrdiff_t>(index));
  ASSIGN_OR_RETURN(const ClusterRun table, WriteSnapshotTable(snapshots));
  RETURN_IF_ERROR(
      SwitchToSnapshotTable(metadata_, table, std::move(snapshots)));
  RETURN_IF_ERROR(SetCopiedBefore(metadata_, entries));
  RETURN_IF_ERROR(metadata_.FlushCounts());
  RETURN_IF_ERROR(UncountGraph(metadata_, entries));
  RETURN_IF_ERROR(metadata_.FreeNow(
      {geometry_.ClusterOf(snapshot.l1_table_offset),
       geometry_.ClustersFor(uint64_t{snapshot.l1_size} * kL1EntrySize)},
      FreeReason::kSnapshot));
  RETURN_IF_ERROR(SetCopied(metadata_));
  return metadata_.Flush();
}

// Does `work` while nobody else uses the image.
template <typename Work>
auto WithEverything(ImageCore& core, const Work& work) {
  const ExclusiveUse everything(core);
  SnapshotWork snapshots(core);
  return work(snapshots);
}

}  // namespace

std::vector<SnapshotEntry> ListSnapshots(ImageCore& core) {
  MutexLock held(&core.mutex);
  return core.metadata->snapshots();
}

absl::StatusOr<SnapshotEntry> FindSnapshot(ImageCore& core,
                                           std::string_view id_or_name) {
  MutexLock held(&core.mutex);
  ASSIGN_OR_RETURN(const size_t index,
                   Find(*core.metadata, *core.file, id_or_name));
  return core.metadata->snapshots()[index];
}

absl::StatusOr<SnapshotEntry> CreateSnapshot(ImageCore& core,
                                             const NewSnapshot& snapshot) {
  return WithEverything(
      core, [&](SnapshotWork& work) { return work.Create(snapshot); });
}

absl::Status ApplySnapshot(ImageCore& core, std::string_view id_or_name) {
  return WithEverything(
      core, [&](SnapshotWork& work) { return work.Apply(id_or_name); });
}

absl::Status DeleteSnapshot(ImageCore& core, std::string_view id_or_name) {
  return WithEverything(
      core, [&](SnapshotWork& work) { return work.Delete(id_or_name); });
}

}  // namespace qcow2
