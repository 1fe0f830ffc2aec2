#include "repair/l2_entry_step.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "checker/l2_entry_judge.h"
#include "checker/l2_scan.h"
#include "checker/l2_shape.h"
#include "checker/l2_tables.h"
#include "engine/status_macros.h"
#include "repair/compressed_evidence.h"
#include "repair/entry_claims.h"
#include "repair/l2_entry_mender.h"
#include "repair/l2_entry_words.h"
#include "repair/orphan_clusters.h"
#include "repair/table_users.h"
#include "repair/view_edit.h"

namespace qcow2::repair {
namespace {

using checker::Finding;
using checker::L2Run;
using checker::L2Table;
using checker::Problem;

// With more counts amiss than these the counts themselves are what is damaged,
// and no evidence against entries that can be read.
constexpr uint64_t kMaxShortClusters = 16;
constexpr uint64_t kMaxLeaksAsEvidence = 16;
// An entry with COPIED and no cluster is looked for only while leaks are few.
constexpr uint64_t kMaxLeaksToScanFor = 4096;
// A table with at least so many malformed entries, and more of them than
// others, was overwritten as a whole.
constexpr uint64_t kOverwrittenEntries = 4;
// Guest ranges a plan may name.
constexpr uint64_t kMaxGuestChanges = uint64_t{1} << 20;
// Compressed data that damaged entries may lay claim to.
constexpr size_t kMaxCompressedClaims = size_t{1} << 16;
// With more bytes of tables than these, holes are not read.
constexpr uint64_t kAskForHolesBytes = uint64_t{1} << 30;

// An L1 index and an index into the L2 table: where in a disk an entry counts.
using GuestPlace = std::pair<uint64_t, uint64_t>;

bool IsAboutEntries(const Finding& finding) {
  switch (finding.problem) {
    case Problem::kL2EntryUnaligned:
    case Problem::kL2EntryReserved:
    case Problem::kL2EntryPastEnd:
    case Problem::kCompressedCopied:
    case Problem::kCompressedPastEnd:
    case Problem::kZeroFlagVersion2:
    case Problem::kZeroFlagExtendedL2:
    case Problem::kSubclusterContradiction:
    case Problem::kSubclusterWithoutOffset:
    case Problem::kCompressedBitmap:
      return true;
    default:
      return false;
  }
}

// What the findings say of counts.
struct CountEvidence {
  // Ascending; empty where they are no evidence.
  std::vector<uint64_t> short_clusters;
  bool few_leaks = false;
};

CountEvidence CountEvidenceOf(const RepairContext& context) {
  CountEvidence evidence;
  uint64_t leaks = 0;
  uint64_t short_clusters = 0;
  for (const Finding& finding : context.report.problems) {
    if (finding.problem == Problem::kClusterLeaked ||
        finding.problem == Problem::kRefcountTooHigh) {
      leaks += finding.count;
    }
    if (finding.problem != Problem::kRefcountTooLow || !finding.host) continue;
    for (uint64_t i = 0; i < finding.host->clusters; ++i) {
      const uint64_t cluster = finding.host->first_cluster + i;
      // What the plan placed is not counted yet.
      if (context.free_clusters.IsGiven(cluster)) continue;
      if (++short_clusters > kMaxShortClusters) break;
      evidence.short_clusters.push_back(cluster);
    }
  }
  evidence.few_leaks = leaks > 0 && leaks <= kMaxLeaksToScanFor;
  // With lazy refcounts, counts lag behind after a crash.
  if (short_clusters > kMaxShortClusters || leaks == 0 ||
      leaks > kMaxLeaksAsEvidence || context.report.problems_omitted > 0 ||
      context.graph.model.header.has_incompatible(kIncompatibleDirty)) {
    evidence.short_clusters.clear();
  }
  std::sort(evidence.short_clusters.begin(), evidence.short_clusters.end());
  return evidence;
}

// Calls `visit(index, entry, neighbours)` for the entries that something may be
// wrong with.
template <typename Visit>
class SuspectScan {
 public:
  SuspectScan(const Geometry& geometry, std::span<const std::byte> bytes,
              const L2EntryMender& mender, bool runs_too, Visit visit)
      : geometry_(geometry),
        bytes_(bytes),
        mender_(mender),
        runs_too_(runs_too),
        visit_(visit) {}

  void OnRun(const L2Run& run) {
    for (uint64_t i = 0; runs_too_ && i < run.entries; ++i) {
      Consider(run.first_index + i, At(run.first_index + i));
    }
  }
  void OnOdd(uint64_t index, L2Entry entry) { Consider(index, entry); }

 private:
  void Consider(uint64_t index, L2Entry entry) {
    if (!mender_.IsSuspicious(entry)) return;
    visit_(index, entry, Neighbours{At(index - 1), At(index + 1)});
  }
  // No entry if there is no such index.
  L2Entry At(uint64_t index) const {
    if (index >= geometry_.l2_entries()) return L2Entry();
    return L2Entry::Decode(&bytes_[index * geometry_.l2_entry_size()],
                           geometry_);
  }

  const Geometry& geometry_;
  const std::span<const std::byte> bytes_;
  const L2EntryMender& mender_;
  const bool runs_too_;
  Visit visit_;
};

class L2EntryStep {
 public:
  explicit L2EntryStep(RepairContext& context)
      : context_(context),
        model_(context.graph.model),
        geometry_(*context.graph.model.geometry),
        rules_(checker::ScanRulesOf(context.graph.model)),
        counts_(CountEvidenceOf(context)),
        orphans_(context.graph, context.report, context.view),
        compressed_(context.graph.model, context.view),
        mender_(context.graph, context.view, context.options.mode,
                counts_.short_clusters, orphans_, compressed_),
        users_(context.graph, context.view) {}

  absl::StatusOr<bool> Run();

 private:
  bool IsWorthwhile() const;
  bool Cancelled() const {
    return context_.options.check.cancel != nullptr &&
           context_.options.check.cancel->load();
  }
  bool HasOtherOwner(const L2Table& table) const;
  // Whether the entry may be written.
  bool MayMend(const L2Table& table, const MendedEntry& entry);
  // Reads the table into bytes_. False if it is nothing to work on.
  bool Load(const L2Table& table);
  bool WasOverwritten() const;
  // Calls `visit(index, entry, neighbours)` for the suspicious entries in
  // bytes_.
  template <typename Visit>
  void ForEachSuspect(Visit visit);
  // First round: what the entries of all tables lay claim to.
  void GatherClaims();
  void AddClaims(const L2Table& table, uint64_t index, L2Entry entry,
                 const Neighbours& neighbours);
  // Adds a claim for every entry that names compressed data which a damaged one
  // lays claim to, but for another guest cluster.
  void CountOtherNamers();
  // Second round: mends.
  absl::Status MendTable(const L2Table& table);
  absl::StatusOr<bool> PlaceFreshZeros(const L2Table& table,
                                       L2Mending& mending);

  RepairContext& context_;
  const checker::ImageModel& model_;
  const Geometry& geometry_;
  const checker::L2ScanRules rules_;
  const CountEvidence counts_;
  OrphanClusters orphans_;
  CompressedEvidence compressed_;
  L2EntryMender mender_;
  TableUsers users_;
  EntryClaims claims_;
  absl::flat_hash_map<uint64_t, GuestPlace> compressed_claims_;
  std::vector<std::byte> bytes_;
  std::vector<uint64_t> suspicious_tables_;  // indexes into graph.l2_tables
  bool changed_ = false;
};

bool L2EntryStep::IsWorthwhile() const {
  const auto& problems = context_.report.problems;
  return std::any_of(problems.begin(), problems.end(), IsAboutEntries) ||
         counts_.few_leaks || !counts_.short_clusters.empty();
}

bool L2EntryStep::HasOtherOwner(const L2Table& table) const {
  const uint64_t cluster = table.offset_bytes >> geometry_.cluster_bits();
  return (context_.graph.map->At(cluster).flags & checker::kReferenceOverlap) !=
         0;
}

bool L2EntryStep::MayMend(const L2Table& table, const MendedEntry& entry) {
  if (!HasOtherOwner(table)) return true;
  // Whose bytes these are has to be settled first, unless it is this entry that
  // names its own table by mistake.
  const bool explained = entry.mending.how == Mending::kOrphan ||
                         entry.mending.how == Mending::kCompressed;
  const checker::EntryReference named =
      checker::ReferenceOf(model_, entry.before, false);
  return explained && named.length_bytes != 0 &&
         named.offset_bytes < table.offset_bytes + geometry_.cluster_size() &&
         table.offset_bytes < named.offset_bytes + named.length_bytes &&
         orphans_.Shortage(table.offset_bytes >> geometry_.cluster_bits()) ==
             table.references;
}

bool L2EntryStep::Load(const L2Table& table) {
  const uint64_t size = geometry_.cluster_size();
  if (context_.graph.l2_tables.size() > kAskForHolesBytes / size) {
    const absl::StatusOr<ByteRange> data =
        context_.view.NextData(table.offset_bytes);
    if (data.ok() &&
        (data->length == 0 || data->offset >= table.offset_bytes + size)) {
      return false;
    }
  }
  bytes_.resize(size);
  if (!ReadZeroFilled(context_.view, table.offset_bytes, bytes_).ok()) {
    return false;
  }
  return context_.options.mode == Mode::kSalvage || !WasOverwritten();
}

bool L2EntryStep::WasOverwritten() const {
  uint64_t malformed = 0;
  uint64_t past_end = 0;
  uint64_t others = 0;
  for (size_t at = 0; at < bytes_.size(); at += geometry_.l2_entry_size()) {
    const L2Entry entry = L2Entry::Decode(&bytes_[at], geometry_);
    if (entry.raw() == 0 && entry.bitmap() == 0) continue;
    const uint32_t issues = L2EntryIssues(
        entry, geometry_, model_.header.version, model_.external_data_file);
    const uint64_t offset = entry.is_compressed()
                                ? entry.compressed(geometry_).offset.value()
                                : entry.host_offset().value();
    if (issues != 0) {
      ++malformed;
    } else {
      ++(offset >= model_.FileEndBytes() && !model_.external_data_file
             ? past_end
             : others);
    }
  }
  // A file that was cut off leaves many well-formed entries past its end.
  if (malformed >= kOverwrittenEntries && malformed > past_end + others) {
    return true;
  }
  return malformed + past_end >= kOverwrittenEntries &&
         malformed + past_end > others &&
         checker::ShapeOf(bytes_, geometry_, rules_, nullptr) ==
             checker::TableShape::kRefcountBlock;
}

template <typename Visit>
void L2EntryStep::ForEachSuspect(Visit visit) {
  SuspectScan<Visit> scan(geometry_, bytes_, mender_,
                          !counts_.short_clusters.empty(), visit);
  checker::ScanL2Table(bytes_, rules_, scan);
}

void L2EntryStep::AddClaims(const L2Table& table, uint64_t index, L2Entry entry,
                            const Neighbours& neighbours) {
  const std::vector<L2Entry> explanations =
      mender_.Explanations(table, entry, neighbours);
  for (const L2Entry explanation : explanations) {
    claims_.Add(mender_.PlaceOf(explanation));
    if (explanation.is_compressed() &&
        compressed_claims_.size() < kMaxCompressedClaims) {
      compressed_claims_[mender_.PlaceOf(explanation)] = {table.l1_index,
                                                          index};
    }
  }
  const std::optional<uint64_t> departure = mender_.DepartureOf(entry);
  if (!explanations.empty() && departure.has_value()) claims_.Add(*departure);
}

void L2EntryStep::GatherClaims() {
  const std::vector<L2Table>& tables = context_.graph.l2_tables;
  for (uint64_t i = 0; i < tables.size() && !Cancelled(); ++i) {
    if (!Load(tables[i])) continue;
    bool any = false;
    ForEachSuspect(
        [&](uint64_t index, L2Entry entry, const Neighbours& neighbours) {
          any = true;
          AddClaims(tables[i], index, entry, neighbours);
        });
    if (!any) continue;
    suspicious_tables_.push_back(i);
    users_.Want(tables[i]);
  }
}

void L2EntryStep::CountOtherNamers() {
  if (compressed_claims_.empty()) return;
  for (const L2Table& table : context_.graph.l2_tables) {
    if (Cancelled() || !Load(table)) continue;
    for (uint64_t i = 0; i < geometry_.l2_entries(); ++i) {
      const L2Entry entry =
          L2Entry::Decode(&bytes_[i * geometry_.l2_entry_size()], geometry_);
      if (!entry.is_compressed()) continue;
      const uint64_t place = mender_.PlaceOf(entry);
      const auto claim = compressed_claims_.find(place);
      if (claim == compressed_claims_.end()) continue;
      // Snapshots name the same data for the same guest cluster.
      if (claim->second != GuestPlace(table.l1_index, i)) claims_.Add(place);
    }
  }
}

absl::StatusOr<bool> L2EntryStep::PlaceFreshZeros(const L2Table& table,
                                                  L2Mending& mending) {
  const absl::StatusOr<uint64_t> offset =
      context_.free_clusters.Allocate(context_.graph, 1, context_.view);
  if (absl::IsResourceExhausted(offset.status())) return false;
  if (!offset.ok()) return offset.status();
  RETURN_IF_ERROR(context_.view.PunchHole({*offset, geometry_.cluster_size()}));
  const bool alone = table.active() && table.references == 1;
  mending.after = L2Entry(*offset | (alone ? kCopiedFlag : 0));
  return true;
}

absl::Status L2EntryStep::MendTable(const L2Table& table) {
  const std::vector<L1Place> users = users_.UsersOf(table);
  if (users.empty() || !Load(table)) return absl::OkStatus();
  std::vector<MendedEntry> mended;
  ForEachSuspect(
      [&](uint64_t index, L2Entry entry, const Neighbours& neighbours) {
        std::optional<L2Mending> mending =
            mender_.Mend(table, entry, neighbours, claims_);
        if (!mending.has_value()) return;
        const MendedEntry next{index, entry, *mending};
        if (MayMend(table, next)) mended.push_back(next);
      });
  if (mended.size() * users.size() + context_.plan.guest_changes().size() >
      kMaxGuestChanges) {
    return absl::OkStatus();
  }
  std::vector<MendedEntry> written;
  for (MendedEntry& entry : mended) {
    if (entry.mending.how == Mending::kFreshZeros) {
      ASSIGN_OR_RETURN(const bool placed,
                       PlaceFreshZeros(table, entry.mending));
      if (!placed) continue;
    }
    RETURN_IF_ERROR(WriteL2Entry(context_.view, geometry_, table.offset_bytes,
                                 entry.index, entry.mending.after));
    written.push_back(entry);
  }
  if (written.empty()) return absl::OkStatus();
  changed_ = true;
  AddL2Edits(model_, table, written, context_.plan);
  AddL2GuestChanges(model_, written, users, context_.plan);
  return absl::OkStatus();
}

absl::StatusOr<bool> L2EntryStep::Run() {
  if (!IsWorthwhile()) return false;
  GatherClaims();
  CountOtherNamers();
  for (const uint64_t index : suspicious_tables_) {
    if (Cancelled()) break;
    RETURN_IF_ERROR(MendTable(context_.graph.l2_tables[index]));
  }
  return changed_;
}

}  // namespace

absl::StatusOr<bool> MendL2Entries(RepairContext& context) {
  if (!context.graph.model.geometry.has_value() ||
      context.graph.map == nullptr) {
    return false;
  }
  return L2EntryStep(context).Run();
}

}  // namespace qcow2::repair
