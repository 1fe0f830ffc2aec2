// The snapshot table, entry by entry: its length is stored nowhere.
#include <algorithm>

#include "checker/printable.h"
#include "cli/tool/dump/dump_state.h"
#include "cli/units.h"

namespace qcow2::tool {
namespace {

// A sound entry is at most that long: ids and names of 64 KiB.
constexpr uint64_t kMaxEntryBytes =
    kSnapshotFixedSize + kMaxSnapshotExtraBytes + uint64_t{2} * 65535;

constexpr IssueText kIssues[] = {
    {kSnapshotCutShort, "the entry is cut short"},
    {kSnapshotL1Unaligned, "l1_table_offset: not cluster aligned"},
    {kSnapshotL1TooLarge, "l1_size: over 32 MiB of table"},
    {kSnapshotExtraTooShort,
     "extra_data_size: below 16, which version 3 asks for"},
    {kSnapshotExtraTooLong, "extra_data_size: over 1024"},
    {kSnapshotIdEmpty, "the id is empty"},
};

SnapshotEntry ReadEntry(DumpState& state, uint64_t offset) {
  const SnapshotEntry fixed =
      SnapshotEntry::Decode(ReadBytes(state, offset, kSnapshotFixedSize));
  return SnapshotEntry::Decode(
      ReadBytes(state, offset, std::min(fixed.size_bytes(), kMaxEntryBytes)));
}

void TellExtraData(const SnapshotEntry& entry, const FieldTeller& tell) {
  const uint64_t at = kSnapshotFixedSize;
  if (entry.extra_data.size() >= 8) {
    tell.Number("vm_state_size_large", at, 8, entry.vm_state_size(),
                "bytes; counts instead of vm_state_size");
  }
  if (entry.disk_size()) {
    tell.Number(
        "disk_size", at + 8, 8, *entry.disk_size(),
        "the virtual disk then: " + cli::HumanBytes(*entry.disk_size()));
  }
  if (entry.instruction_count()) {
    tell.Number("icount", at + 16, 8, *entry.instruction_count(),
                "instructions executed; all ones: not recorded");
  }
  if (entry.extra_data.size() > 24) {
    tell.Bytes("unknown extra data", at + 24,
               std::span(entry.extra_data).subspan(24), "kept as it is");
  }
}

void TellEntryFields(const SnapshotEntry& entry, const FieldTeller& tell) {
  tell.Hexadecimal("l1_table_offset", 0, 8, entry.l1_table_offset.value(),
                   "where the snapshot's L1 table is; cluster aligned");
  tell.Number("l1_size", 8, 4, entry.l1_size, "its entries");
  tell.Number("id_str_size", 12, 2, entry.id.size() + entry.missing_id,
              "bytes of the id");
  tell.Number("name_size", 14, 2, entry.name.size() + entry.missing_name,
              "bytes of the name");
  tell.Number("date_sec", 16, 4, entry.date_seconds,
              "when it was taken: seconds since 1970");
  tell.Number("date_nsec", 20, 4, entry.date_nanoseconds, "and nanoseconds");
  tell.Number("vm_clock_nsec", 24, 8, entry.vm_clock_nanoseconds,
              "how long the guest had run, nanoseconds");
  tell.Number("vm_state_size", 32, 4, entry.vm_state_size_32,
              "bytes of VM state; 0: none");
  tell.Number("extra_data_size", 36, 4, entry.extra_data_size(),
              "bytes of extra data");
  TellExtraData(entry, tell);
  const uint64_t id = kSnapshotFixedSize + entry.extra_data_size();
  tell.Text("id_str", id, entry.id.size(), entry.id, "");
  tell.Text("name", id + entry.id.size() + entry.missing_id, entry.name.size(),
            entry.name, "");
}

uint64_t SnapshotsShown(const DumpState& state) {
  return std::min<uint64_t>(state.header.nb_snapshots, kMaxSnapshots);
}

}  // namespace

std::vector<LocatedSnapshot> ReadSnapshots(DumpState& state) {
  SilentSink silent(state.sink);
  DumpState quiet = WithSink(state, silent);
  std::vector<LocatedSnapshot> snapshots;
  uint64_t offset = state.header.snapshots_offset.value();
  uint64_t kept = 0;
  for (uint64_t i = 0; i < SnapshotsShown(state); ++i) {
    LocatedSnapshot snapshot = {offset, ReadEntry(quiet, offset)};
    const uint64_t size = snapshot.entry.padded_size_bytes();
    kept += size;
    if (!snapshot.entry.complete() || kept > kMaxSnapshotTableBytes) break;
    offset += size;
    snapshots.push_back(std::move(snapshot));
  }
  return snapshots;
}

void DumpSnapshotTable(DumpState& state) {
  uint64_t offset = state.header.snapshots_offset.value();
  for (uint64_t i = 0; i < SnapshotsShown(state); ++i) {
    if (state.sink.stopped()) return;
    SilentSink silent(state.sink);
    DumpState quiet = WithSink(state, silent);
    const SnapshotEntry entry = ReadEntry(quiet, offset);
    DumpStructure structure;
    structure.kind = "snapshot";
    structure.title = "Snapshot table entry " + std::to_string(i);
    structure.offset = offset;
    structure.length = entry.padded_size_bytes();
    structure.details["index"] = i;
    state.sink.Begin(structure);
    TellEntryFields(entry, {state, offset});
    TellIssues(SnapshotIssues(entry, *state.geometry, state.header.version),
               kIssues, state.sink);
    state.sink.End();
    if (!entry.complete()) return;
    offset += entry.padded_size_bytes();
  }
}

}  // namespace qcow2::tool
