// L1 and L2 tables: the active ones and those of snapshots.
#include <unordered_set>

#include "checker/printable.h"
#include "cli/tool/dump/dump_state.h"
#include "engine/format/l1_entry.h"
#include "engine/format/l2_entry.h"

namespace qcow2::tool {
namespace {

using checker::Hex;

constexpr IssueText kL1Issues[] = {
    {kL1ReservedBitsSet, "reserved bits are set"},
    {kL1OffsetUnaligned, "not cluster aligned"},
    {kL1CopiedWithoutTable, "COPIED without a table"},
};

constexpr IssueText kL2Issues[] = {
    {kL2ReservedBitsSet, "reserved bits are set"},
    {kL2OffsetUnaligned, "not cluster aligned"},
    {kL2CompressedWithCopied, "COPIED on a compressed cluster"},
    {kL2CompressedWithBitmap, "subclusters of a compressed cluster"},
    {kL2CompressedWithDataFile, "compressed with an external data file"},
    {kL2CompressedOffsetTooLarge, "offset over 2^56"},
    {kL2SubclusterAllocatedAndZero, "a subcluster is allocated and zero"},
    {kL2SubclusterAllocatedWithoutOffset,
     "a subcluster is allocated without a cluster"},
    {kL2ZeroFlagInVersion2, "zero flag in version 2"},
    {kL2ZeroFlagWithExtendedL2, "zero flag with extended L2 entries"},
};

// An L1 table and whose it is.
struct L1Place {
  std::string of;  // "active", or the snapshot's id
  std::string title;
  uint64_t offset = 0;
  uint64_t entries = 0;
};

std::vector<L1Place> L1Places(DumpState& state) {
  std::vector<L1Place> places;
  places.push_back({"active", "Active L1 table",
                    state.header.l1_table_offset.value(),
                    state.header.l1_size});
  for (const LocatedSnapshot& snapshot : ReadSnapshots(state)) {
    const SnapshotEntry& entry = snapshot.entry;
    places.push_back(
        {entry.id,
         "L1 table of snapshot \"" + entry.id + "\" (\"" + entry.name + "\")",
         entry.l1_table_offset.value(), entry.l1_size});
  }
  return places;
}

TablePlace TableOf(const L1Place& place) {
  return {place.offset, place.entries, kL1EntrySize,
          kMaxL1Bytes / kL1EntrySize};
}

void AddProblem(const std::string& problem, DumpEntry& entry) {
  if (problem.empty()) return;
  entry.meaning += "  ! " + problem;
  entry.details["problem"] = problem;
}

DumpEntry DescribeL1Entry(L1Entry entry, const Geometry& geometry) {
  DumpEntry told;
  told.raw = entry.raw();
  told.meaning = "no L2 table";
  if (entry.has_l2_table()) {
    told.meaning = "L2 table at " + Hex(entry.l2_offset().value()) +
                   (entry.copied() ? ", COPIED" : "");
    told.details["l2_offset"] = entry.l2_offset().value();
    told.details["copied"] = entry.copied();
  }
  AddProblem(JoinIssues(L1EntryIssues(entry, geometry), kL1Issues), told);
  return told;
}

void DumpL1(DumpState& state, const L1Place& place) {
  DumpStructure structure;
  structure.kind = "l1-table";
  structure.title = place.title;
  structure.offset = place.offset;
  structure.length = place.entries * kL1EntrySize;
  structure.details["of"] = place.of;
  state.sink.Begin(structure);
  TellTable(
      state, TableOf(place),
      [&](uint64_t index, uint64_t count, std::span<const std::byte> bytes) {
        DumpEntry entry =
            DescribeL1Entry(L1Entry::Decode(bytes.data()), *state.geometry);
        entry.index = index;
        entry.count = count;
        entry.offset = place.offset + index * kL1EntrySize;
        state.sink.Entry(entry);
        return !state.sink.stopped();
      });
  state.sink.End();
}

const char* TypeName(L2EntryType type) {
  switch (type) {
    case L2EntryType::kUnallocated:
      return "unallocated";
    case L2EntryType::kZeroPlain:
      return "zero";
    case L2EntryType::kZeroAllocated:
      return "zero-allocated";
    case L2EntryType::kNormal:
      return "normal";
    case L2EntryType::kCompressed:
      return "compressed";
  }
  return "";
}

void DescribePlace(L2Entry entry, L2EntryType type, const Geometry& geometry,
                   DumpEntry& told) {
  if (type == L2EntryType::kCompressed) {
    const CompressedDescriptor at = entry.compressed(geometry);
    told.meaning += " at " + Hex(at.offset.value()) + ", " +
                    std::to_string(at.sectors) + " sectors";
    told.details["host_offset"] = at.offset.value();
    told.details["sectors"] = at.sectors;
  } else if (type == L2EntryType::kNormal ||
             type == L2EntryType::kZeroAllocated) {
    told.meaning += " at " + Hex(entry.host_offset().value()) +
                    (entry.copied() ? ", COPIED" : "");
    told.details["host_offset"] = entry.host_offset().value();
    told.details["copied"] = entry.copied();
  }
}

DumpEntry DescribeL2Entry(L2Entry entry, const DumpState& state) {
  const Geometry& geometry = *state.geometry;
  const bool data_file = state.header.has_external_data_file();
  const L2EntryType type = TypeOf(entry, geometry, data_file);
  DumpEntry told;
  told.raw = entry.raw();
  told.meaning = TypeName(type);
  told.details["type"] = TypeName(type);
  DescribePlace(entry, type, geometry, told);
  if (geometry.extended_l2()) {
    told.meaning += "; subclusters " + Hex(entry.allocated_subclusters()) +
                    " allocated, " + Hex(entry.zero_subclusters()) + " zero";
    told.details["allocated_subclusters"] = entry.allocated_subclusters();
    told.details["zero_subclusters"] = entry.zero_subclusters();
  }
  AddProblem(JoinIssues(L2EntryIssues(entry, geometry, state.header.version,
                                      data_file),
                        kL2Issues),
             told);
  return told;
}

void DumpL2(DumpState& state, const L1Place& l1, uint64_t l1_index,
            uint64_t offset) {
  const Geometry& geometry = *state.geometry;
  DumpStructure structure;
  structure.kind = "l2-table";
  structure.title = "L2 table of entry " + std::to_string(l1_index) +
                    " of the " +
                    (l1.of == "active" ? "active L1 table" : l1.title);
  structure.offset = offset;
  structure.length = geometry.cluster_size();
  structure.details["of"] = l1.of;
  structure.details["l1_index"] = l1_index;
  state.sink.Begin(structure);
  const uint64_t window = l1_index << geometry.l2_coverage_bits();
  TellTable(
      state,
      {offset, geometry.l2_entries(), geometry.l2_entry_size(),
       geometry.l2_entries()},
      [&](uint64_t index, uint64_t count, std::span<const std::byte> bytes) {
        DumpEntry entry =
            DescribeL2Entry(L2Entry::Decode(bytes.data(), geometry), state);
        entry.index = index;
        entry.count = count;
        entry.offset = offset + index * geometry.l2_entry_size();
        entry.details["guest_offset"] =
            window + (index << geometry.cluster_bits());
        state.sink.Entry(entry);
        return !state.sink.stopped();
      });
  state.sink.End();
}

}  // namespace

void DumpL1Tables(DumpState& state) {
  for (const L1Place& place : L1Places(state)) {
    if (state.sink.stopped()) return;
    DumpL1(state, place);
  }
}

void DumpL2Tables(DumpState& state) {
  // Aligned offsets within the file: no more than it has clusters.
  std::unordered_set<uint64_t> shown;
  SilentSink silent(state.sink);
  DumpState quiet = WithSink(state, silent);
  for (const L1Place& place : L1Places(state)) {
    // Entries first: the sink takes one structure at a time.
    std::vector<std::pair<uint64_t, uint64_t>> tables;
    TellTable(quiet, TableOf(place),
              [&](uint64_t index, uint64_t, std::span<const std::byte> bytes) {
                const uint64_t offset =
                    L1Entry::Decode(bytes.data()).l2_offset().value();
                if (offset != 0 && state.geometry->IsAligned(offset) &&
                    offset < state.file_size && shown.insert(offset).second) {
                  tables.emplace_back(index, offset);
                }
                return true;
              });
    for (const auto& [index, offset] : tables) {
      if (state.sink.stopped()) return;
      DumpL2(state, place, index, offset);
    }
  }
}

}  // namespace qcow2::tool
