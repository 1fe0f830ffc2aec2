#include "checker/reference_pass.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "checker/l2_entry_judge.h"
#include "checker/l2_shape.h"
#include "checker/table_walk.h"

namespace qcow2::checker {
namespace {

// A table with at least this many damaged entries, and more damaged ones than
// others, was overwritten as a whole rather than hit here and there.
constexpr uint64_t kOverwrittenEntries = 4;
// Empty tables that are looked at; a report is full long before.
constexpr size_t kMaxEmptyTables = size_t{1} << 16;

// What the threads of a pass share.
struct Shared {
  std::mutex mutex;
  AllocationSummary allocation;
  std::vector<uint32_t> empty_active_tables;
  std::atomic<bool> references_incomplete{false};
};

// Counts the references of the L2 tables one thread visits.
class ReferenceVisitor : public TableVisitor {
 public:
  ReferenceVisitor(const CheckState& state, std::span<const L2Table> tables,
                   bool report, ReferenceMap& map, Shared& shared)
      : model_(state.model),
        geometry_(*state.model.geometry),
        rules_(ScanRulesOf(state)),
        tables_(tables),
        report_(report),
        qemu_compatible_(state.options.qemu_compatible),
        writer_(map),
        shared_(shared) {}

  ~ReferenceVisitor() override {
    const std::lock_guard<std::mutex> lock(shared_.mutex);
    shared_.allocation.allocated_clusters += allocation_.allocated_clusters;
    shared_.allocation.fragmented_clusters += allocation_.fragmented_clusters;
    shared_.allocation.compressed_clusters += allocation_.compressed_clusters;
    shared_.empty_active_tables.insert(shared_.empty_active_tables.end(),
                                       empty_active_tables_.begin(),
                                       empty_active_tables_.end());
  }

  void VisitTable(uint64_t index, std::span<const std::byte> bytes,
                  const std::vector<UnreadableRange>& unreadable,
                  FindingSink& sink) override;
  void VisitHole(uint64_t index, FindingSink& sink) override;
  void EndBatch() override { writer_.Release(); }

  // What an entry that is no part of a run comes to.
  struct OddEntry {
    uint64_t first_cluster = 0;
    uint64_t clusters = 0;  // 0: refers to none
    uint32_t flags = 0;
    // Of the whole cluster it maps, if any; in a data file it may be 0.
    std::optional<uint64_t> allocated_offset;
  };
  // Judges the entry.
  OddEntry OnOdd(uint64_t index, L2Entry entry);

 private:
  // Scans the table, whose entries go to the map, and counts.
  void Scan(std::span<const std::byte> bytes);
  void NoteEmpty(uint64_t index);
  void AddTableItself();
  void ReportUnreadable(const std::vector<UnreadableRange>& unreadable);
  void ReportShape(std::span<const std::byte> bytes);

  const ImageModel& model_;
  const Geometry& geometry_;
  const L2ScanRules rules_;
  const std::span<const L2Table> tables_;
  const bool report_;
  const bool qemu_compatible_;
  ReferenceMap::Writer writer_;
  Shared& shared_;
  AllocationSummary allocation_;
  std::vector<uint32_t> empty_active_tables_;
  // Of the table being visited.
  const L2Table* table_ = nullptr;
  FindingSink* sink_ = nullptr;
  uint64_t regular_entries_ = 0;
  uint64_t lost_entries_ = 0;
};

void ReferenceVisitor::AddTableItself() {
  const uint64_t first = table_->offset_bytes >> geometry_.cluster_bits();
  // Only qemu-img follows tables that are not aligned; they touch two clusters.
  const uint64_t clusters = geometry_.IsAligned(table_->offset_bytes) ? 1 : 2;
  writer_.Add(first, clusters, table_->references,
              kReferenceMetadata | table_->flags);
}

ReferenceVisitor::OddEntry ReferenceVisitor::OnOdd(uint64_t index,
                                                   L2Entry entry) {
  OddEntry odd;
  if (report_) {
    if (JudgeL2Entry(model_, *table_, index, entry, *sink_)) ++lost_entries_;
    const L2EntryType type =
        TypeOf(entry, geometry_, model_.external_data_file);
    if (type == L2EntryType::kNormal || type == L2EntryType::kZeroAllocated) {
      odd.allocated_offset = entry.host_offset().value();
    } else if (type == L2EntryType::kCompressed && entry.bitmap() == 0 &&
               !model_.external_data_file && table_->active()) {
      const uint64_t times = table_->active_references;
      allocation_.allocated_clusters += times;
      allocation_.compressed_clusters += times;
      // They share sectors with their neighbours, so each is a fragment.
      allocation_.fragmented_clusters += times;
    }
  }
  const EntryReference reference = ReferenceOf(model_, entry, qemu_compatible_);
  if (reference.length_bytes == 0) return odd;
  odd.first_cluster = reference.offset_bytes >> geometry_.cluster_bits();
  const uint64_t last = (reference.offset_bytes + reference.length_bytes - 1) >>
                        geometry_.cluster_bits();
  odd.clusters = last - odd.first_cluster + 1;
  if (table_->active() && reference.whole_cluster) {
    odd.flags = reference.copied ? kReferenceCopied : kReferenceNotCopied;
  }
  return odd;
}

// What is kept while the entries of one table pass by: on the stack and known
// to nobody else, so that it stays in registers.
class TableScan {
 public:
  TableScan(ReferenceVisitor& visitor, ReferenceMap::Writer& writer,
            const L2ScanRules& rules, const L2Table& table)
      : visitor_(visitor),
        writer_(writer),
        next_(writer.Open(table.references)),
        weight_(table.references),
        cluster_bits_(rules.cluster_bits),
        flags_copied_(table.active() ? uint32_t{kReferenceCopied} : 0),
        flags_not_copied_(table.active() ? uint32_t{kReferenceNotCopied} : 0) {}

  // Called by the scan.
  void OnRun(const L2Run& run) {
    CountAllocated(run.host_offset_bytes, run.entries);
    regular_entries_ += run.entries;
    const uint64_t cluster = run.host_offset_bytes >> cluster_bits_;
    const uint32_t flags = run.copied ? flags_copied_ : flags_not_copied_;
    if (run.entries > 1) {
      writer_.Add(cluster, run.entries, weight_, flags);
    } else {
      next_ = writer_.MakeRoom(next_, 1);
      *next_++ = ReferenceMap::Single(cluster, flags);
    }
  }
  void OnLoneEntries(std::span<const std::byte> entries) {
    const uint64_t count = entries.size() / 8;
    const uint64_t first = LoadBe64(entries.data()) & kL2OffsetMask;
    CountAllocated(first, 1);
    // None of the others is where the one before it ends.
    allocated_ += count - 1;
    fragmented_ += count - 1;
    regular_entries_ += count;
    PutSingles(entries);
    const uint64_t last = LoadBe64(entries.data() + (count - 1) * 8);
    next_offset_ = (last & kL2OffsetMask) + (uint64_t{1} << cluster_bits_);
  }
  void OnOdd(uint64_t index, L2Entry entry) {
    const ReferenceVisitor::OddEntry odd = visitor_.OnOdd(index, entry);
    if (odd.allocated_offset) CountAllocated(*odd.allocated_offset, 1);
    if (odd.clusters == 0) return;
    writer_.Add(odd.first_cluster, odd.clusters, weight_, odd.flags);
  }

  void Finish() { writer_.Close(next_); }
  uint64_t allocated() const { return allocated_; }
  uint64_t fragmented() const { return fragmented_; }
  uint64_t regular_entries() const { return regular_entries_; }

 private:
  void CountAllocated(uint64_t host_offset, uint64_t clusters) {
    allocated_ += clusters;
    if (next_offset_ != 0 && host_offset != next_offset_) ++fragmented_;
    next_offset_ = host_offset + (clusters << cluster_bits_);
  }

  void PutSingles(std::span<const std::byte> entries) {
    next_ = writer_.AddMany(
        next_, entries.size() / 8,
        [entry = entries.data(), bits = cluster_bits_, copied = flags_copied_,
         not_copied = flags_not_copied_](size_t i) {
          const uint64_t raw = LoadBe64(entry + i * 8);
          return ReferenceMap::Single(
              (raw & kL2OffsetMask) >> bits,
              (raw & kCopiedFlag) != 0 ? copied : not_copied);
        });
  }

  ReferenceVisitor& visitor_;
  ReferenceMap::Writer& writer_;
  ReferenceMap::Single* next_;
  const uint64_t weight_;
  const uint32_t cluster_bits_;
  const uint32_t flags_copied_;
  const uint32_t flags_not_copied_;
  uint64_t allocated_ = 0;
  uint64_t fragmented_ = 0;
  uint64_t next_offset_ = 0;  // behind the last allocated cluster
  uint64_t regular_entries_ = 0;
};

void ReferenceVisitor::Scan(std::span<const std::byte> bytes) {
  const L2ScanRules rules = rules_;
  TableScan scan(*this, writer_, rules, *table_);
  ScanL2Table(bytes, rules, scan);
  scan.Finish();
  regular_entries_ = scan.regular_entries();
  if (!report_ || !table_->active()) return;
  const uint64_t times = table_->active_references;
  allocation_.allocated_clusters += scan.allocated() * times;
  allocation_.fragmented_clusters += scan.fragmented() * times;
}

void ReferenceVisitor::ReportUnreadable(
    const std::vector<UnreadableRange>& unreadable) {
  for (const UnreadableRange& range : unreadable) {
    const uint64_t entry_size = geometry_.l2_entry_size();
    const uint64_t index =
        (range.offset_bytes - table_->offset_bytes) / entry_size;
    Finding finding;
    finding.problem = Problem::kL2TableUnreadable;
    finding.location = LocationOf(model_, *table_, index);
    finding.guest.push_back(
        GuestRangeOf(model_, *table_, index, range.length_bytes / entry_size));
    finding.actual = range.length_bytes;
    finding.detail = range.reason;
    sink_->Add(std::move(finding));
    sink_->AddUnreadableBytes(range.length_bytes);
    shared_.references_incomplete = true;
  }
}

void ReferenceVisitor::ReportShape(std::span<const std::byte> bytes) {
  if (lost_entries_ < kOverwrittenEntries ||
      lost_entries_ <= regular_entries_) {
    return;
  }
  const TableShape shape = ShapeOf(bytes, geometry_, rules_, nullptr);
  if (shape != TableShape::kRefcountBlock && shape != TableShape::kOtherData) {
    return;
  }
  Finding finding;
  finding.problem = shape == TableShape::kRefcountBlock
                        ? Problem::kL2TableIsRefcountBlock
                        : Problem::kL2TableIsGuestData;
  finding.location = LocationOf(model_, *table_, 0);
  finding.location.index.reset();
  finding.host = HostRun{table_->offset_bytes >> geometry_.cluster_bits(), 1,
                         table_->offset_bytes};
  finding.guest.push_back(
      GuestRangeOf(model_, *table_, 0, geometry_.l2_entries()));
  sink_->Add(std::move(finding));
}

void ReferenceVisitor::VisitTable(
    uint64_t index, std::span<const std::byte> bytes,
    const std::vector<UnreadableRange>& unreadable, FindingSink& sink) {
  table_ = &tables_[index];
  sink_ = &sink;
  regular_entries_ = 0;
  lost_entries_ = 0;
  AddTableItself();
  if (report_ && !unreadable.empty()) ReportUnreadable(unreadable);
  Scan(bytes);
  if (!report_) return;
  if (lost_entries_ > 0) shared_.references_incomplete = true;
  ReportShape(bytes);
  if (unreadable.empty() && table_->active() &&
      LeadingZeroBytes(bytes.data(), bytes.size()) == bytes.size()) {
    NoteEmpty(index);
  }
}

// A thread visits tables in ascending order: those left out come last.
void ReferenceVisitor::NoteEmpty(uint64_t index) {
  if (empty_active_tables_.size() >= kMaxEmptyTables) return;
  empty_active_tables_.push_back(static_cast<uint32_t>(index));
}

void ReferenceVisitor::VisitHole(uint64_t index, FindingSink& /*sink*/) {
  table_ = &tables_[index];
  AddTableItself();
  if (report_ && table_->active()) NoteEmpty(index);
}

// Where regions begin or end.
struct RegionBoundary {
  uint64_t cluster;
  int64_t regions;
  int64_t references;
};

// Regions from this many clusters on are added stretch by stretch where they
// lie on each other: there can be 65536 L1 tables of 32 MiB each, all in the
// same place. There can be millions of shorter ones.
constexpr uint64_t kLongRegionClusters = 64;

// Adds the short regions; returns where the long ones begin and end.
std::vector<RegionBoundary> AddShortRegions(const CheckState& state,
                                            ReferenceMap::Writer& writer) {
  const Geometry& geometry = *state.model.geometry;
  std::vector<RegionBoundary> boundaries;
  for (const MetadataRegion& region : state.model.regions) {
    if (region.length_bytes == 0) continue;
    const bool past_end =
        state.model.ReachesPastEnd(region.offset_bytes, region.length_bytes);
    // qemu-img does not count any of a region that is cut off; we count the
    // part that is there, since it is in use.
    if (past_end && state.options.qemu_compatible) continue;
    const uint64_t first = region.offset_bytes >> geometry.cluster_bits();
    const uint64_t end = ((region.offset_bytes + region.length_bytes - 1) >>
                          geometry.cluster_bits()) +
                         1;
    if (end - first < kLongRegionClusters) {
      writer.Add(first, end - first, region.references, kReferenceMetadata);
      continue;
    }
    const auto references = static_cast<int64_t>(region.references);
    boundaries.push_back({first, 1, references});
    boundaries.push_back({end, -1, -references});
  }
  std::sort(boundaries.begin(), boundaries.end(),
            [](const RegionBoundary& a, const RegionBoundary& b) {
              return a.cluster < b.cluster;
            });
  return boundaries;
}

void AddRegions(const CheckState& state, ReferenceMap& map) {
  ReferenceMap::Writer writer(map);
  const std::vector<RegionBoundary> boundaries = AddShortRegions(state, writer);
  int64_t regions = 0;
  int64_t references = 0;
  for (size_t i = 0; i + 1 < boundaries.size(); ++i) {
    regions += boundaries[i].regions;
    references += boundaries[i].references;
    const uint64_t first = boundaries[i].cluster;
    const uint64_t clusters = boundaries[i + 1].cluster - first;
    if (regions == 0 || clusters == 0) continue;
    auto weight = static_cast<uint64_t>(references);
    if (regions > 1) {
      // The first of several owners; the rest makes it an overlap.
      writer.Add(first, clusters, 1, kReferenceMetadata);
      --weight;
    }
    writer.Add(first, clusters, weight, kReferenceMetadata);
  }
}

}  // namespace

ReferencePassResult RunReferencePass(CheckState& state,
                                     std::span<const L2Table> tables,
                                     bool report, ReferenceMap& map) {
  AddRegions(state, map);
  Shared shared;
  TableWalk walk;
  walk.tables = tables.size();
  walk.table_bytes = state.model.geometry->cluster_size();
  walk.offset_of = [&](uint64_t index) { return tables[index].offset_bytes; };
  walk.make_visitor = [&] {
    return std::make_unique<ReferenceVisitor>(state, tables, report, map,
                                              shared);
  };
  WalkTables(state, walk);
  if (report) {
    state.allocation.allocated_clusters = shared.allocation.allocated_clusters;
    state.allocation.fragmented_clusters =
        shared.allocation.fragmented_clusters;
    state.allocation.compressed_clusters =
        shared.allocation.compressed_clusters;
    if (shared.references_incomplete) state.model.references_incomplete = true;
  }
  std::sort(shared.empty_active_tables.begin(),
            shared.empty_active_tables.end());
  if (shared.empty_active_tables.size() > kMaxEmptyTables) {
    shared.empty_active_tables.resize(kMaxEmptyTables);
  }
  return {std::move(shared.empty_active_tables)};
}

}  // namespace qcow2::checker
