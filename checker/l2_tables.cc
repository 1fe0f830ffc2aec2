#include "checker/l2_tables.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "checker/hole_finder.h"
#include "engine/format/byte_order.h"
#include "engine/format/l1_entry.h"

namespace qcow2::checker {
namespace {

// Bytes of L1 table read at a time.
constexpr uint64_t kPieceBytes = uint64_t{256} * 1024;
// Pieces from this size on are not read if they lie in a hole of the file.
constexpr uint64_t kAskForHolesBytes = uint64_t{16} * 1024;
// L2 tables that are followed: as many as the longest L1 table can name. More
// are there only if many snapshots of such an image share nothing, or if L1
// tables were made to overlap.
constexpr size_t kMaxTables = size_t{1} << 22;
// No more entries than this are held before those of one table are merged.
constexpr size_t kMaxHeld = kMaxTables + kMaxTables / 4;
// So few entries are not worth merging before the end.
constexpr size_t kFewHeld = size_t{1} << 16;

// A stretch of the file that the same L1 tables cover. Tables of a sane image
// are disjoint; overlapping ones are cut up, so that however many snapshots
// claim the same bytes, these are read once.
struct L1Segment {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  uint32_t table = 0;  // the first that covers it
  uint64_t covering = 0;
  uint32_t active_covering = 0;
};

struct Boundary {
  uint64_t offset_bytes;
  bool begin;
  uint32_t table;
};

std::vector<Boundary> SortedBoundaries(const ImageModel& model) {
  std::vector<Boundary> boundaries;
  for (size_t i = 0; i < model.l1_tables.size(); ++i) {
    const L1Table& table = model.l1_tables[i];
    if (table.entries == 0) continue;
    const uint32_t index = static_cast<uint32_t>(i);
    boundaries.push_back({table.offset_bytes, true, index});
    boundaries.push_back(
        {table.offset_bytes + table.entries * kL1EntrySize, false, index});
  }
  std::sort(boundaries.begin(), boundaries.end(),
            [](const Boundary& a, const Boundary& b) {
              return std::pair(a.offset_bytes, a.table) <
                     std::pair(b.offset_bytes, b.table);
            });
  return boundaries;
}

// Active tables first in the file's order of tables; of the tables that cover
// a segment the lowest index stands for all.
std::vector<L1Segment> CutIntoSegments(const ImageModel& model) {
  const std::vector<Boundary> boundaries = SortedBoundaries(model);
  std::vector<L1Segment> segments;
  std::vector<uint32_t> open;  // a heap would do; sane images have one open
  uint64_t covering = 0;
  uint32_t active_covering = 0;
  for (size_t i = 0; i < boundaries.size(); ++i) {
    const Boundary& boundary = boundaries[i];
    const bool active = model.l1_tables[boundary.table].active;
    if (boundary.begin) {
      ++covering;
      active_covering += active ? 1 : 0;
      if (open.size() < 16) open.push_back(boundary.table);
    } else {
      --covering;
      active_covering -= active ? 1 : 0;
      std::erase(open, boundary.table);
    }
    if (i + 1 == boundaries.size() || covering == 0) continue;
    const uint64_t length =
        boundaries[i + 1].offset_bytes - boundary.offset_bytes;
    if (length == 0) continue;
    const uint32_t first =
        open.empty() ? 0 : *std::min_element(open.begin(), open.end());
    segments.push_back(
        {boundary.offset_bytes, length, first, covering, active_covering});
  }
  return segments;
}

uint64_t EntriesIn(const std::vector<L1Segment>& segments) {
  uint64_t entries = 0;
  for (const L1Segment& segment : segments) {
    entries += segment.length_bytes / kL1EntrySize;
  }
  return entries;
}

// Fills the table of L2 tables from the words of the L1 segments.
class L2Collector {
 public:
  // `entries`: of all segments together.
  L2Collector(CheckState& state, uint64_t entries)
      : state_(state), holes_(state.reader.file()) {
    // To grow it step by step would take half as much again.
    tables_.reserve(std::min<uint64_t>(entries, kMaxHeld));
  }

  void CollectSegment(const L1Segment& segment);
  // All tables named, each once, by offset.
  std::vector<L2Table> Take();

 private:
  void ReportUnreadable(const L1Segment& segment,
                        const std::vector<UnreadableRange>& unreadable);
  void CollectEntry(const L1Segment& segment, uint64_t index, L1Entry entry);
  // Reports what is wrong with the entry. True if it can be followed.
  bool JudgeEntry(const L1Segment& segment, uint64_t index, L1Entry entry);
  void AddTable(const L1Segment& segment, uint64_t index, L1Entry entry);
  Finding MakeFinding(Problem problem, uint32_t l1_table, uint64_t index,
                      uint64_t actual) const;
  void MergeIfMany();
  void StopIfTooMany();
  // Sorts the tables and makes one of those at the same offset.
  void Merge();
  void MergeInto(L2Table& table, const L2Table& again);
  void ReportNamedTwice(const L2Table& first, const L2Table& second);

  CheckState& state_;
  HoleFinder holes_;
  // At first one for each L1 entry, then merged. That takes less memory than a
  // hash table of the merged ones, and little time where offsets ascend.
  std::vector<L2Table> tables_;
  size_t merge_at_ = kFewHeld;
  bool full_ = false;
};

Finding L2Collector::MakeFinding(Problem problem, uint32_t l1_table,
                                 uint64_t index, uint64_t actual) const {
  const ImageModel& model = state_.model;
  const L1Table& table = model.l1_tables[l1_table];
  Finding finding;
  finding.problem = problem;
  finding.location.structure =
      table.active ? Structure::kActiveL1 : Structure::kSnapshotL1;
  finding.location.table_offset = table.offset_bytes;
  finding.location.index = index;
  finding.location.snapshot = table.snapshot_name;
  finding.actual = actual;
  L2Table whole;
  whole.l1_table = l1_table;
  whole.l1_index = static_cast<uint32_t>(index);
  finding.guest.push_back(
      GuestRangeOf(model, whole, 0, model.geometry->l2_entries()));
  return finding;
}

bool L2Collector::JudgeEntry(const L1Segment& segment, uint64_t index,
                             L1Entry entry) {
  const ImageModel& model = state_.model;
  const Geometry& geometry = *model.geometry;
  const uint64_t offset = entry.l2_offset().value();
  bool usable = true;
  if (entry.reserved_bits() != 0) {
    state_.sink.Add(MakeFinding(Problem::kL1EntryReserved, segment.table, index,
                                entry.raw()),
                    segment.covering);
  } else if (offset == 0) {
    // qemu-img has no word for it, but takes the header for an L2 table.
    state_.sink.Add(MakeFinding(Problem::kL1EntryNoOffset, segment.table, index,
                                entry.raw()),
                    0);
  }
  if (model.ReachesPastEnd(offset, geometry.cluster_size())) {
    Finding finding =
        MakeFinding(Problem::kL1EntryPastEnd, segment.table, index, offset);
    finding.expected = model.file_size_bytes;
    state_.sink.Add(std::move(finding), segment.covering);
    usable = false;
  }
  if (!geometry.IsAligned(offset)) {
    state_.sink.Add(
        MakeFinding(Problem::kL1EntryUnaligned, segment.table, index, offset),
        segment.covering);
    usable = usable && state_.options.qemu_compatible;
  }
  if (!usable) state_.model.references_incomplete = true;
  return usable && (offset != 0 || state_.options.qemu_compatible);
}

void L2Collector::AddTable(const L1Segment& segment, uint64_t index,
                           L1Entry entry) {
  L2Table table;
  table.offset_bytes = entry.l2_offset().value();
  table.l1_table = segment.table;
  table.l1_index = static_cast<uint32_t>(index);
  table.references = segment.covering;
  table.active_references = segment.active_covering;
  if (table.active()) {
    table.flags = entry.copied() ? kReferenceCopied : kReferenceNotCopied;
  }
  tables_.push_back(table);
}

void L2Collector::CollectEntry(const L1Segment& segment, uint64_t index,
                               L1Entry entry) {
  if (!JudgeEntry(segment, index, entry) || full_) return;
  AddTable(segment, index, entry);
  if (tables_.size() >= kMaxHeld) {
    Merge();
    StopIfTooMany();
  }
}

// Between two L1 tables, so that all entries of one that name the same L2 table
// come together. Costs little for each entry, however few tables remain.
void L2Collector::MergeIfMany() {
  if (tables_.size() < merge_at_) return;
  Merge();
  merge_at_ = std::max(kFewHeld, 2 * tables_.size());
}

void L2Collector::StopIfTooMany() {
  if (tables_.size() < kMaxTables) return;
  full_ = true;
  state_.model.references_incomplete = true;
  state_.errors.push_back(absl::StrCat("more than ", kMaxTables,
                                       " L2 tables are named; only the first ",
                                       tables_.size(), " were followed"));
}

void L2Collector::ReportNamedTwice(const L2Table& first,
                                   const L2Table& second) {
  Finding finding =
      MakeFinding(Problem::kL2TableReferencedTwice, second.l1_table,
                  second.l1_index, second.offset_bytes);
  finding.expected = first.l1_index;
  finding.host =
      HostRun{second.offset_bytes >> state_.model.geometry->cluster_bits(), 1,
              second.offset_bytes};
  state_.sink.Add(std::move(finding), second.references);
}

void L2Collector::MergeInto(L2Table& table, const L2Table& again) {
  table.references += again.references;
  table.active_references += again.active_references;
  table.flags |= again.flags;
}

void L2Collector::Merge() {
  const auto order = [](const L2Table& a, const L2Table& b) {
    // Of those that name a table an active one stands for all.
    return std::tuple(a.offset_bytes, !a.active(), a.l1_table, a.l1_index) <
           std::tuple(b.offset_bytes, !b.active(), b.l1_table, b.l1_index);
  };
  if (!std::is_sorted(tables_.begin(), tables_.end(), order)) {
    std::sort(tables_.begin(), tables_.end(), order);
  }
  size_t kept = 0;
  for (size_t i = 0; i < tables_.size(); ++kept) {
    L2Table merged = tables_[i];
    L2Table last = merged;
    for (++i;
         i < tables_.size() && tables_[i].offset_bytes == merged.offset_bytes;
         ++i) {
      if (tables_[i].l1_table == last.l1_table) {
        ReportNamedTwice(last, tables_[i]);
      }
      last = tables_[i];
      MergeInto(merged, last);
    }
    tables_[kept] = merged;
  }
  tables_.resize(kept);
}

void L2Collector::ReportUnreadable(
    const L1Segment& segment, const std::vector<UnreadableRange>& unreadable) {
  const L1Table& table = state_.model.l1_tables[segment.table];
  for (const UnreadableRange& range : unreadable) {
    const uint64_t index =
        (range.offset_bytes - table.offset_bytes) / kL1EntrySize;
    Finding finding = MakeFinding(Problem::kL1TableUnreadable, segment.table,
                                  index, range.length_bytes);
    finding.detail = range.reason;
    const uint64_t coverage = state_.model.geometry->l2_coverage();
    finding.guest.front().length_bytes = std::min(
        table.disk_size_bytes > finding.guest.front().offset_bytes
            ? table.disk_size_bytes - finding.guest.front().offset_bytes
            : coverage,
        (range.length_bytes + 7) / kL1EntrySize * coverage);
    state_.sink.Add(std::move(finding));
    state_.sink.AddUnreadableBytes(range.length_bytes);
    state_.model.references_incomplete = true;
  }
}

void L2Collector::CollectSegment(const L1Segment& segment) {
  MergeIfMany();
  const L1Table& table = state_.model.l1_tables[segment.table];
  std::vector<std::byte> piece;
  for (uint64_t done = 0; done < segment.length_bytes; done += piece.size()) {
    if (state_.reader.Cancelled()) return;
    const uint64_t offset = segment.offset_bytes + done;
    // What lies past the end of the file is zeros.
    if (offset >= state_.model.file_size_bytes) return;
    piece.resize(std::min(kPieceBytes, segment.length_bytes - done));
    if (piece.size() >= kAskForHolesBytes &&
        holes_.IsHole(offset, piece.size())) {
      continue;
    }
    ReportUnreadable(segment, state_.reader.Read(offset, piece));
    const uint64_t first_index = (offset - table.offset_bytes) / kL1EntrySize;
    for (uint64_t at = 0; at + kL1EntrySize <= piece.size();
         at += kL1EntrySize) {
      const L1Entry entry = L1Entry::Decode(piece.data() + at);
      if (entry.is_zero()) continue;
      CollectEntry(segment, first_index + at / kL1EntrySize, entry);
    }
  }
}

std::vector<L2Table> L2Collector::Take() {
  Merge();
  return std::move(tables_);
}

}  // namespace

std::vector<L2Table> CollectL2Tables(CheckState& state) {
  const std::vector<L1Segment> segments = CutIntoSegments(state.model);
  L2Collector collector(state, EntriesIn(segments));
  for (const L1Segment& segment : segments) {
    collector.CollectSegment(segment);
  }
  return collector.Take();
}

void ForEachL1Entry(const CheckState& state, const L1Table& table,
                    const std::function<void(uint64_t, L1Entry)>& visit) {
  const uint64_t bytes = table.entries * kL1EntrySize;
  std::vector<std::byte> piece;
  for (uint64_t done = 0; done < bytes; done += piece.size()) {
    if (state.reader.Cancelled()) return;
    if (table.offset_bytes + done >= state.model.file_size_bytes) return;
    piece.resize(std::min(kPieceBytes, bytes - done));
    state.reader.Read(table.offset_bytes + done, piece);
    for (uint64_t at = 0; at < piece.size(); at += kL1EntrySize) {
      const L1Entry entry = L1Entry::Decode(piece.data() + at);
      if (!entry.is_zero()) visit((done + at) / kL1EntrySize, entry);
    }
  }
}

L2ScanRules ScanRulesOf(const ImageModel& model) {
  L2ScanRules rules;
  rules.cluster_size_bytes = model.geometry->cluster_size();
  rules.cluster_bits = model.geometry->cluster_bits();
  rules.extended_l2 = model.geometry->extended_l2();
  rules.zero_flag_allowed = model.header.version >= 3 && !rules.extended_l2;
  rules.external_data_file = model.external_data_file;
  rules.file_end_bytes = model.FileEndBytes();
  return rules;
}

Location LocationOf(const ImageModel& model, const L2Table& table,
                    uint64_t entry_index) {
  Location location;
  location.structure =
      table.active() ? Structure::kActiveL2 : Structure::kInactiveL2;
  location.table_offset = table.offset_bytes;
  location.index = entry_index;
  location.snapshot = model.l1_tables[table.l1_table].snapshot_name;
  return location;
}

GuestRange GuestRangeOf(const ImageModel& model, const L2Table& table,
                        uint64_t first_entry, uint64_t entries) {
  const Geometry& geometry = *model.geometry;
  const L1Table& l1_table = model.l1_tables[table.l1_table];
  GuestRange range;
  range.snapshot = l1_table.snapshot_name;
  if (!l1_table.active) range.snapshot_index = l1_table.snapshot_index;
  range.offset_bytes = uint64_t{table.l1_index} * geometry.l2_coverage() +
                       first_entry * geometry.cluster_size();
  range.length_bytes = entries * geometry.cluster_size();
  if (range.offset_bytes >= l1_table.disk_size_bytes) {
    range.vm_state = true;
  } else {
    range.length_bytes = std::min(
        range.length_bytes, l1_table.disk_size_bytes - range.offset_bytes);
  }
  return range;
}

}  // namespace qcow2::checker
