#include "repair/overlap_claims.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <span>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "checker/check_state.h"
#include "checker/cluster_owners.h"
#include "checker/l2_entry_judge.h"
#include "checker/l2_scan.h"
#include "checker/table_walk.h"
#include "engine/format/bitmap_table_entry.h"
#include "engine/format/l1_entry.h"
#include "engine/status_macros.h"

namespace qcow2::repair {
namespace {

using checker::ClusterRun;
using checker::Graph;
using checker::ImageModel;
using checker::MetadataRegion;
using checker::Problem;

// More shared clusters, or structures in them, than this are no accident but a
// table of garbage: nothing good would come of copying all that.
constexpr uint64_t kMaxSharedClusters = uint64_t{1} << 16;
constexpr size_t kMaxUnits = size_t{1} << 16;
constexpr size_t kMaxRepeated = size_t{1} << 14;
// Bytes of bitmap tables, and of L1 tables, that are looked through.
constexpr uint64_t kMaxTableBytes = uint64_t{1} << 30;
// Claims a thread keeps before it hands them in.
constexpr size_t kClaimsAtOnce = size_t{1} << 14;

constexpr uint32_t kRefcountOwners =
    checker::kOwnerRefcountTable | checker::kOwnerRefcountBlock;

// One entry's part in one shared cluster.
struct EntryClaim {
  uint64_t cluster = 0;
  GuestClaim claim;
};

void Merge(const GuestClaim& part, GuestClaim& whole) {
  if (whole.entries == 0) {
    whole = part;
    return;
  }
  whole.first_cluster = std::min(whole.first_cluster, part.first_cluster);
  whole.last_cluster = std::max(whole.last_cluster, part.last_cluster);
  whole.compressed |= part.compressed;
  whole.entries += part.entries;
  if (std::pair(part.l2_table, part.l2_entry) <
      std::pair(whole.l2_table, whole.l2_entry)) {
    whole.l2_table = part.l2_table;
    whole.l2_entry = part.l2_entry;
  }
}

// What the threads of the walk share.
struct Shared {
  std::mutex mutex;
  OverlapClaims& claims;
  bool unreadable = false;
};

// Collects what the L2 entries one thread visits have in shared clusters.
class GuestVisitor : public checker::TableVisitor {
 public:
  GuestVisitor(const checker::CheckState& state,
               const checker::ClusterSet& wanted, Shared& shared)
      : model_(state.model),
        bits_(state.model.geometry->cluster_bits()),
        rules_(checker::ScanRulesOf(state)),
        wanted_(wanted),
        shared_(shared) {}

  void VisitTable(uint64_t index, std::span<const std::byte> bytes,
                  const std::vector<checker::UnreadableRange>& unreadable,
                  checker::FindingSink&) override {
    table_ = static_cast<uint32_t>(index);
    unreadable_ |= !unreadable.empty();
    checker::ScanL2Table(bytes, rules_, *this);
    if (found_.size() >= kClaimsAtOnce) EndBatch();
  }

  // Zeros name nothing.
  void VisitHole(uint64_t, checker::FindingSink&) override {}

  void EndBatch() override {
    const std::lock_guard<std::mutex> lock(shared_.mutex);
    shared_.unreadable |= unreadable_;
    for (const EntryClaim& found : found_) {
      Merge(found.claim, shared_.claims.guest[found.cluster]);
      shared_.claims.names_shared_cluster[found.claim.l2_table] = true;
    }
    found_.clear();
  }

  // Called by the scan.
  void OnRun(const checker::L2Run& run) {
    const uint64_t first = run.host_offset_bytes >> bits_;
    wanted_.Intersect(first, run.entries, [&](uint64_t from, uint64_t count) {
      for (uint64_t c = from; c < from + count; ++c) {
        Add(c, c, c, run.first_index + (c - first), false);
      }
    });
  }
  void OnOdd(uint64_t index, L2Entry entry) {
    const checker::EntryReference reference =
        checker::ReferenceOf(model_, entry, /*qemu_compatible=*/false);
    if (reference.length_bytes == 0) return;
    const uint64_t first = reference.offset_bytes >> bits_;
    const uint64_t last =
        (reference.offset_bytes + reference.length_bytes - 1) >> bits_;
    wanted_.Intersect(first, last - first + 1,
                      [&](uint64_t from, uint64_t count) {
                        for (uint64_t c = from; c < from + count; ++c) {
                          Add(c, first, last, index, !reference.whole_cluster);
                        }
                      });
  }

 private:
  void Add(uint64_t cluster, uint64_t first, uint64_t last, uint64_t entry,
           bool compressed) {
    GuestClaim claim;
    claim.first_cluster = first;
    claim.last_cluster = last;
    claim.compressed = compressed;
    claim.entries = 1;
    claim.l2_table = table_;
    claim.l2_entry = static_cast<uint32_t>(entry);
    found_.push_back({cluster, claim});
  }

  const ImageModel& model_;
  const uint32_t bits_;
  const checker::L2ScanRules rules_;
  const checker::ClusterSet& wanted_;
  Shared& shared_;
  std::vector<EntryClaim> found_;
  uint32_t table_ = 0;
  bool unreadable_ = false;
};

class Collector {
 public:
  explicit Collector(const RepairContext& context)
      : context_(context),
        graph_(context.graph),
        model_(context.graph.model),
        geometry_(*context.graph.model.geometry) {}

  absl::StatusOr<OverlapClaims> Run();

 private:
  void FindSharedClusters();
  absl::Status AddRegions();
  absl::Status AddRegion(const MetadataRegion& region);
  void AddUnit(SharingUnit unit);
  void AddL2Tables();
  absl::Status AddBitmapData(uint64_t bitmap);
  // The length of the structure as its owner has it, which may be more than
  // the file has of it.
  uint64_t WholeLength(const MetadataRegion& region) const;
  void AddGuestClaims();
  absl::Status FindRepeated();
  absl::Status FindRepeatedIn(uint32_t l1_table);
  void LeaveRepeated(std::string_view why);
  bool Shares(uint64_t offset, uint64_t length) const {
    const auto [first, last] =
        claims_.SharedIn(offset, length, geometry_.cluster_bits());
    return first < last;
  }
  void GiveUp(std::string_view why) {
    given_up_ = true;
    claims_.left_out = std::string(why);
  }

  const RepairContext& context_;
  const Graph& graph_;
  const ImageModel& model_;
  const Geometry& geometry_;
  OverlapClaims claims_;
  bool given_up_ = false;
  // Of the bitmaps that are still to be looked through.
  absl::flat_hash_map<uint64_t, const MetadataRegion*> bitmap_tables_;
  uint64_t table_bytes_ = 0;
  // Offsets of the L2 tables that are named repeatedly; indexes of tables.
  absl::flat_hash_map<uint64_t, uint32_t> repeated_tables_;
};

void Collector::FindSharedClusters() {
  for (const uint64_t chunk : graph_.map->ChunkIndexes()) {
    const uint64_t first = chunk * checker::ReferenceMap::kChunkClusters;
    const uint64_t end = std::min(first + checker::ReferenceMap::kChunkClusters,
                                  graph_.map->end_cluster());
    if (first >= end) continue;
    graph_.map->ForEachRun(
        first, end,
        [&](uint64_t run, uint64_t count, const checker::ReferenceCell& cell) {
          if ((cell.flags & checker::kReferenceOverlap) == 0 || given_up_) {
            return;
          }
          if (claims_.clusters.size() + count > kMaxSharedClusters) {
            GiveUp("too many clusters have more than one owner");
            return;
          }
          for (uint64_t c = run; c < run + count; ++c) {
            claims_.clusters.push_back(c);
          }
        });
  }
  std::sort(claims_.clusters.begin(), claims_.clusters.end());
}

void Collector::AddUnit(SharingUnit unit) {
  if (claims_.units.size() >= kMaxUnits) {
    GiveUp("too many structures share clusters");
    return;
  }
  claims_.units.push_back(unit);
}

uint64_t Collector::WholeLength(const MetadataRegion& region) const {
  switch (region.owner) {
    case checker::kOwnerActiveL1:
      return uint64_t{model_.header.l1_size} * kL1EntrySize;
    case checker::kOwnerLuksHeader:
      return model_.luks_extension->length;
    case checker::kOwnerSnapshotTable:
      return claims_.snapshots.length_bytes;
    case checker::kOwnerBitmapDirectory:
      return model_.bitmap_extension->directory_size;
    case checker::kOwnerInactiveL1:
      return region.index < claims_.snapshots.entries.size()
                 ? claims_.snapshots.entries[region.index].named_entries *
                       kL1EntrySize
                 : 0;
    case checker::kOwnerBitmapTable:
      return region.index < claims_.bitmaps.entries.size()
                 ? claims_.bitmaps.entries[region.index].named_entries *
                       kBitmapTableEntrySize
                 : 0;
    default:
      return region.length_bytes;
  }
}

absl::Status Collector::AddRegion(const MetadataRegion& region) {
  if ((region.owner & kRefcountOwners) != 0 ||
      !Shares(region.offset_bytes, region.length_bytes)) {
    return absl::OkStatus();
  }
  if (region.owner == checker::kOwnerBitmapData) {
    return AddBitmapData(region.index);
  }
  SharingUnit unit;
  unit.owner = region.owner;
  unit.index = region.index;
  unit.offset_bytes = region.offset_bytes;
  unit.length_bytes = region.length_bytes;
  // Of a structure that the end of the file cuts off only a part is there.
  unit.movable = region.owner != checker::kOwnerHeader &&
                 WholeLength(region) == region.length_bytes;
  AddUnit(unit);
  return absl::OkStatus();
}

absl::Status Collector::AddBitmapData(uint64_t bitmap) {
  const auto found = bitmap_tables_.find(bitmap);
  if (found == bitmap_tables_.end()) return absl::OkStatus();
  const MetadataRegion* table = found->second;
  bitmap_tables_.erase(found);
  table_bytes_ += table->length_bytes;
  if (table_bytes_ > kMaxTableBytes) {
    GiveUp("the bitmap tables are too long to be looked through");
    return absl::OkStatus();
  }
  return ForEachWord(
      context_.view, table->offset_bytes,
      table->length_bytes / kBitmapTableEntrySize,
      [&](uint64_t index, uint64_t word) {
        const BitmapTableEntry entry(word);
        const uint64_t offset = entry.offset().value();
        if (offset == 0 || !geometry_.IsAligned(offset) ||
            model_.ReachesPastEnd(offset, geometry_.cluster_size()) ||
            !Shares(offset, geometry_.cluster_size())) {
          return absl::OkStatus();
        }
        SharingUnit unit;
        unit.owner = checker::kOwnerBitmapData;
        unit.index = bitmap;
        unit.table_entry = index;
        unit.offset_bytes = offset;
        unit.length_bytes = geometry_.cluster_size();
        AddUnit(unit);
        return absl::OkStatus();
      });
}

absl::Status Collector::AddRegions() {
  if (model_.snapshot_count > 0) {
    ASSIGN_OR_RETURN(claims_.snapshots, LocateSnapshots(context_.view, model_));
  }
  ASSIGN_OR_RETURN(claims_.bitmaps, LocateBitmaps(context_.view, model_));
  for (const MetadataRegion& region : model_.regions) {
    if (region.owner == checker::kOwnerBitmapTable) {
      bitmap_tables_[region.index] = &region;
    }
  }
  for (const MetadataRegion& region : model_.regions) {
    RETURN_IF_ERROR(AddRegion(region));
    if (given_up_) break;
  }
  return absl::OkStatus();
}

void Collector::AddL2Tables() {
  for (uint32_t i = 0; i < graph_.l2_tables.size(); ++i) {
    const checker::L2Table& table = graph_.l2_tables[i];
    if (!Shares(table.offset_bytes, geometry_.cluster_size())) continue;
    SharingUnit unit;
    unit.owner =
        table.active() ? checker::kOwnerActiveL2 : checker::kOwnerInactiveL2;
    unit.l2_table = i;
    unit.offset_bytes = table.offset_bytes;
    unit.length_bytes = geometry_.cluster_size();
    AddUnit(unit);
  }
}

void Collector::AddGuestClaims() {
  claims_.names_shared_cluster.assign(graph_.l2_tables.size(), false);
  std::vector<ClusterRun> runs;
  for (const uint64_t cluster : claims_.clusters) runs.push_back({cluster, 1});
  const checker::ClusterSet wanted(std::move(runs));
  if (wanted.empty()) return;
  checker::CheckOptions options = context_.options.check;
  options.progress = nullptr;
  options.qemu_compatible = false;
  options.graph = nullptr;
  checker::CheckState state(context_.view, options);
  state.model = model_;
  Shared shared{{}, claims_};
  checker::TableWalk walk;
  walk.tables = graph_.l2_tables.size();
  walk.table_bytes = geometry_.cluster_size();
  walk.offset_of = [&](uint64_t index) {
    return graph_.l2_tables[index].offset_bytes;
  };
  walk.make_visitor = [&] {
    return std::make_unique<GuestVisitor>(state, wanted, shared);
  };
  checker::WalkTables(state, walk);
  if (shared.unreadable) GiveUp("an L2 table could not be read");
  if (state.reader.Cancelled()) GiveUp("it was cancelled");
}

absl::Status Collector::FindRepeatedIn(uint32_t l1_table) {
  const checker::L1Table& table = model_.l1_tables[l1_table];
  absl::flat_hash_set<uint32_t> met;
  return ForEachWord(
      context_.view, table.offset_bytes, table.entries,
      [&](uint64_t index, uint64_t word) {
        const auto found =
            repeated_tables_.find(L1Entry(word).l2_offset().value());
        if (found == repeated_tables_.end() ||
            met.insert(found->second).second) {
          return absl::OkStatus();
        }
        claims_.repeated.try_emplace({found->second, index}, l1_table);
        return claims_.repeated.size() > kMaxRepeated
                   ? absl::ResourceExhaustedError("")
                   : absl::OkStatus();
      });
}

absl::Status Collector::FindRepeated() {
  const auto& tables = graph_.l2_tables;
  for (const checker::Finding& finding : context_.report.problems) {
    if (finding.problem != Problem::kL2TableReferencedTwice) continue;
    const uint64_t offset = finding.host->offset_bytes;
    const auto table =
        std::lower_bound(tables.begin(), tables.end(), offset,
                         [](const checker::L2Table& t, uint64_t o) {
                           return t.offset_bytes < o;
                         });
    if (table == tables.end() || table->offset_bytes != offset) continue;
    repeated_tables_[offset] = static_cast<uint32_t>(table - tables.begin());
  }
  if (repeated_tables_.empty()) return absl::OkStatus();
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < model_.l1_tables.size(); ++i) {
    bytes += model_.l1_tables[i].entries * kL1EntrySize;
    if (bytes > kMaxTableBytes) {
      LeaveRepeated("the L1 tables are too long to be looked through");
      return absl::OkStatus();
    }
    const absl::Status status = FindRepeatedIn(i);
    if (absl::IsResourceExhausted(status)) {
      LeaveRepeated("too many L1 entries name the same L2 tables");
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

void Collector::LeaveRepeated(std::string_view why) {
  claims_.repeated.clear();
  claims_.left_out = std::string(why);
}

absl::StatusOr<OverlapClaims> Collector::Run() {
  FindSharedClusters();
  if (!given_up_) RETURN_IF_ERROR(AddRegions());
  if (!given_up_) AddL2Tables();
  if (!given_up_) AddGuestClaims();
  if (!given_up_) {
    RETURN_IF_ERROR(FindRepeated());
    return std::move(claims_);
  }
  OverlapClaims none;
  none.left_out = std::move(claims_.left_out);
  return none;
}

}  // namespace

std::pair<size_t, size_t> OverlapClaims::SharedIn(uint64_t offset_bytes,
                                                  uint64_t length_bytes,
                                                  uint32_t cluster_bits) const {
  if (length_bytes == 0) return {0, 0};
  const uint64_t first = offset_bytes >> cluster_bits;
  const uint64_t last = (offset_bytes + length_bytes - 1) >> cluster_bits;
  const auto begin = std::lower_bound(clusters.begin(), clusters.end(), first);
  const auto end = std::upper_bound(begin, clusters.end(), last);
  return {begin - clusters.begin(), end - clusters.begin()};
}

absl::StatusOr<OverlapClaims> CollectOverlapClaims(
    const RepairContext& context) {
  return Collector(context).Run();
}

}  // namespace qcow2::repair
