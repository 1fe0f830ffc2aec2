#include "repair/l1_entry_step.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "checker/finding.h"
#include "checker/l2_tables.h"
#include "checker/printable.h"
#include "engine/format/l1_entry.h"
#include "engine/status_macros.h"
#include "repair/entry_claims.h"
#include "repair/orphan_clusters.h"
#include "repair/stored_refcounts.h"
#include "repair/table_users.h"
#include "repair/view_edit.h"

namespace qcow2::repair {
namespace {

using checker::Finding;
using checker::Hex;
using checker::L1Table;
using checker::L2Table;
using checker::Problem;
using checker::RepairAction;
using checker::Structure;

// Damaged entries mended at a time; more take more rounds.
constexpr size_t kMaxSuspects = size_t{1} << 16;
// Entries of L1 tables looked up to explain those that lead nowhere.
constexpr uint64_t kMaxPlaces = uint64_t{1} << 16;
// Told apart from the places that entries lay claim to.
constexpr uint64_t kDeparture = uint64_t{1} << 62;

constexpr char kOrphanReason[] = "the entry names its L2 table again";
constexpr char kPastEndReason[] =
    "the L2 table is past the end of the file: reads as if nothing had been "
    "written, as it does now";
constexpr char kClearedReason[] =
    "the L2 table cannot be found: reads as if nothing had been written";

// Whether a sound entry names a cluster that is no L2 table.
bool HoldsSomethingElse(const Finding& finding) {
  return (finding.problem == Problem::kL2TableIsGuestData ||
          finding.problem == Problem::kL2TableIsRefcountBlock) &&
         finding.host.has_value();
}

// An entry that something may be wrong with.
struct Suspect {
  uint32_t table = 0;  // index into ImageModel::l1_tables
  uint64_t index = 0;
  L1Entry entry;
  std::vector<L1Entry> explanations;
};

// What an entry becomes.
struct L1Mending {
  L1Entry after;
  RepairAction action = RepairAction::kMendEntry;
  std::optional<GuestChange::Kind> guest;
  std::string_view reason;
};

class L1EntryStep {
 public:
  explicit L1EntryStep(RepairContext& context)
      : context_(context),
        model_(context.graph.model),
        geometry_(*context.graph.model.geometry),
        orphans_(context.graph, context.report, context.view) {
    for (const Finding& finding : context.report.problems) {
      if (HoldsSomethingElse(finding)) {
        no_tables_.insert(finding.host->offset_bytes);
      }
    }
  }

  absl::StatusOr<bool> Run();

 private:
  bool IsWorthwhile() const;
  bool IsUnaligned(L1Entry entry) const {
    return !geometry_.IsAligned(entry.l2_offset().value());
  }
  bool IsDamaged(L1Entry entry) const {
    return entry.reserved_bits() != 0 || !entry.has_l2_table() ||
           IsUnaligned(entry) || IsPastEnd(entry);
  }
  bool IsPastEnd(L1Entry entry) const {
    return entry.has_l2_table() &&
           model_.ReachesPastEnd(entry.l2_offset().value(),
                                 geometry_.cluster_size());
  }
  // A sound entry whose L2 table is counted less often than it is named, or
  // does not look like one.
  bool IsMisdirected(L1Entry entry);
  bool HasOneOwner(uint64_t offset) const;
  void Consider(uint32_t table, uint64_t index, L1Entry entry);
  // What the entry may have been before some of its bits changed.
  std::vector<L1Entry> Explanations(L1Entry entry);
  // An entry that leads to no table at all.
  bool LeadsNowhere(L1Entry entry) const;
  // What it may have been whatever its bits are now: the one that another L1
  // table has at the same place, or else the only one that was lost.
  std::vector<L1Entry> ExplanationsByPlace(const Suspect& suspect);
  void ExplainByPlace();
  bool HasEmptyEntries(uint32_t table) const {
    return entries_in_use_[table] < model_.l1_tables[table].entries;
  }
  std::optional<L1Mending> Mend(const Suspect& suspect);
  absl::Status Apply(const Suspect& suspect, const L1Mending& mending);
  Problem ProblemOf(L1Entry entry) const;
  std::string Before(L1Entry entry) const;
  static std::string After(const L1Mending& mending);

  RepairContext& context_;
  const checker::ImageModel& model_;
  const Geometry& geometry_;
  OrphanClusters orphans_;
  // Offsets of what L1 entries name, but is no L2 table.
  absl::flat_hash_set<uint64_t> no_tables_;
  EntryClaims claims_;
  std::vector<Suspect> suspects_;
  // Entries that lead nowhere and that no changed bit explains.
  uint64_t entries_lost_ = 0;
  // By L1 table: entries that are not zero.
  std::vector<uint64_t> entries_in_use_;
};

bool L1EntryStep::IsWorthwhile() const {
  const auto& problems = context_.report.problems;
  return std::any_of(problems.begin(), problems.end(),
                     [](const Finding& finding) {
                       return finding.problem == Problem::kL1EntryUnaligned ||
                              finding.problem == Problem::kL1EntryReserved ||
                              finding.problem == Problem::kL1EntryPastEnd ||
                              finding.problem == Problem::kL1EntryNoOffset ||
                              finding.problem == Problem::kRefcountTooLow ||
                              HoldsSomethingElse(finding);
                     });
}

bool L1EntryStep::HasOneOwner(uint64_t offset) const {
  const uint64_t cluster = offset >> geometry_.cluster_bits();
  return (context_.graph.map->At(cluster).flags & checker::kReferenceOverlap) ==
         0;
}

bool L1EntryStep::IsMisdirected(L1Entry entry) {
  if (!orphans_.any() || !entry.has_l2_table()) return false;
  const uint64_t offset = entry.l2_offset().value();
  const uint64_t cluster = offset >> geometry_.cluster_bits();
  if (context_.free_clusters.IsGiven(cluster)) return false;
  return no_tables_.contains(offset) || orphans_.Shortage(cluster) > 0;
}

std::vector<L1Entry> L1EntryStep::Explanations(L1Entry entry) {
  std::vector<L1Entry> found;
  if (IsUnaligned(entry)) {
    const uint64_t low = geometry_.cluster_size() - 1;
    const L1Entry aligned(entry.raw() & ~(kL1ReservedMask | low));
    if (orphans_.IsOrphanL2Table(aligned.l2_offset().value())) {
      found.push_back(aligned);
    }
    return found;
  }
  // Reserved bits that happen to be set take nothing from a place that is found
  // to hold a lost table.
  const L1Entry clean(entry.raw() & ~kL1ReservedMask);
  const bool lost =
      IsPastEnd(entry) || !entry.has_l2_table() || entry.reserved_bits() == 0;
  if (!orphans_.any() || !lost) return found;
  for (uint32_t bit = geometry_.cluster_bits(); bit < 56; ++bit) {
    const L1Entry flipped(clean.raw() ^ uint64_t{1} << bit);
    if (flipped.l2_offset().value() < model_.file_size_bytes &&
        orphans_.IsOrphanL2Table(flipped.l2_offset().value())) {
      found.push_back(flipped);
    }
  }
  return found;
}

bool L1EntryStep::LeadsNowhere(L1Entry entry) const {
  return orphans_.any() && entry.has_l2_table() &&
         (IsUnaligned(entry) || IsPastEnd(entry) ||
          no_tables_.contains(entry.l2_offset().value()));
}

std::vector<L1Entry> L1EntryStep::ExplanationsByPlace(const Suspect& suspect) {
  std::vector<L1Entry> found;
  const auto add = [&](uint64_t offset) {
    const L1Entry entry(offset | (suspect.entry.raw() & kCopiedFlag));
    const bool known =
        std::any_of(found.begin(), found.end(),
                    [&](L1Entry other) { return other.raw() == entry.raw(); });
    if (!known) found.push_back(entry);
  };
  for (uint32_t i = 0; i < model_.l1_tables.size(); ++i) {
    const L1Table& table = model_.l1_tables[i];
    if (i == suspect.table || suspect.index >= table.entries) continue;
    std::array<std::byte, kL1EntrySize> bytes;
    const uint64_t at = table.offset_bytes + suspect.index * kL1EntrySize;
    if (!ReadZeroFilled(context_.view, at, bytes).ok()) continue;
    const L1Entry other = L1Entry::Decode(bytes.data());
    if (!IsUnaligned(other) &&
        orphans_.IsOrphanL2Table(other.l2_offset().value())) {
      add(other.l2_offset().value());
    }
  }
  if (!found.empty()) return found;
  // What reads as zeros gets no data that an entry wiped to zeros may have had.
  if (IsPastEnd(suspect.entry) && HasEmptyEntries(suspect.table)) return found;
  const std::optional<uint64_t> lost =
      orphans_.SoleLostTable(suspect.entry.l2_offset().value());
  if (lost.has_value()) add(*lost);
  return found;
}

void L1EntryStep::ExplainByPlace() {
  std::vector<Suspect*> lost;
  for (Suspect& suspect : suspects_) {
    if (suspect.explanations.empty() && LeadsNowhere(suspect.entry)) {
      lost.push_back(&suspect);
    }
  }
  // What is not looked at might have named the same table.
  if (lost.size() != entries_lost_ ||
      lost.size() * model_.l1_tables.size() > kMaxPlaces) {
    return;
  }
  for (Suspect* suspect : lost) {
    suspect->explanations = ExplanationsByPlace(*suspect);
    for (const L1Entry explanation : suspect->explanations) {
      claims_.Add(explanation.l2_offset().value());
    }
    if (!IsDamaged(suspect->entry)) {
      claims_.Add(suspect->entry.l2_offset().value() | kDeparture);
    }
  }
}

void L1EntryStep::Consider(uint32_t table, uint64_t index, L1Entry entry) {
  const bool damaged = IsDamaged(entry);
  if (!damaged && !IsMisdirected(entry)) return;
  Suspect suspect{table, index, entry, Explanations(entry)};
  for (const L1Entry explanation : suspect.explanations) {
    claims_.Add(explanation.l2_offset().value());
  }
  const bool lost = suspect.explanations.empty() && LeadsNowhere(entry);
  entries_lost_ += lost ? 1 : 0;
  if (!damaged && !lost && suspect.explanations.empty()) return;
  if (!damaged && !lost) claims_.Add(entry.l2_offset().value() | kDeparture);
  const L1Table& l1_table = model_.l1_tables[table];
  if (suspects_.size() < kMaxSuspects &&
      HasOneOwner(l1_table.offset_bytes + index * kL1EntrySize)) {
    suspects_.push_back(std::move(suspect));
  }
}

std::optional<L1Mending> L1EntryStep::Mend(const Suspect& suspect) {
  const L1Entry entry = suspect.entry;
  const bool unaligned = IsUnaligned(entry);
  const bool past_end = IsPastEnd(entry);
  const bool damaged = IsDamaged(entry);
  if (suspect.explanations.size() == 1) {
    const L1Entry explanation = suspect.explanations.front();
    if (claims_.IsSole(explanation.l2_offset().value()) &&
        (damaged || claims_.IsSole(entry.l2_offset().value() | kDeparture))) {
      return L1Mending{explanation, RepairAction::kMendEntry,
                       GuestChange::Kind::kRecovered, kOrphanReason};
    }
  }
  const bool salvage = context_.options.mode == Mode::kSalvage;
  const bool ambiguous = !suspect.explanations.empty();
  if (!damaged || (ambiguous && !salvage)) return std::nullopt;
  if (unaligned) {
    if (!salvage) return std::nullopt;
    return L1Mending{L1Entry(), RepairAction::kZeroEntry,
                     GuestChange::Kind::kLost, kClearedReason};
  }
  if (past_end) {
    return L1Mending{L1Entry(), RepairAction::kZeroEntry,
                     GuestChange::Kind::kLost, kPastEndReason};
  }
  // Readers look at the offset only.
  const L1Entry clean = entry.has_l2_table()
                            ? L1Entry(entry.raw() & ~kL1ReservedMask)
                            : L1Entry();
  return L1Mending{clean, RepairAction::kClearEntryBits, std::nullopt, {}};
}

Problem L1EntryStep::ProblemOf(L1Entry entry) const {
  if (IsUnaligned(entry)) return Problem::kL1EntryUnaligned;
  if (IsPastEnd(entry)) return Problem::kL1EntryPastEnd;
  if (entry.reserved_bits() != 0) return Problem::kL1EntryReserved;
  return entry.has_l2_table() ? Problem::kRefcountTooLow
                              : Problem::kL1EntryNoOffset;
}

std::string L1EntryStep::Before(L1Entry entry) const {
  const std::string offset = Hex(entry.l2_offset().value());
  switch (ProblemOf(entry)) {
    case Problem::kL1EntryUnaligned:
      return absl::StrCat("names an L2 table at ", offset,
                          ", which is not cluster aligned");
    case Problem::kL1EntryPastEnd:
      return absl::StrCat("names an L2 table at ", offset,
                          ", past the end of the file");
    case Problem::kL1EntryReserved:
      return absl::StrCat("is ", Hex(entry.raw()), ": reserved bits are set");
    case Problem::kL1EntryNoOffset:
      return absl::StrCat("is ", Hex(entry.raw()),
                          ": COPIED is set, but no L2 table is named");
    default:
      return absl::StrCat("names an L2 table at ", offset,
                          ", which is not counted for it or is none");
  }
}

std::string L1EntryStep::After(const L1Mending& mending) {
  switch (mending.action) {
    case RepairAction::kMendEntry:
      return absl::StrCat(
          "names the L2 table at ", Hex(mending.after.l2_offset().value()),
          ", which is counted, reached by too few entries, and the only one "
          "that explains this entry");
    case RepairAction::kClearEntryBits:
      return absl::StrCat("is ", Hex(mending.after.raw()),
                          ": the bits that must be zero are cleared");
    default:
      return "is empty: reads as if nothing had been written; the L2 table is "
             "gone";
  }
}

absl::Status L1EntryStep::Apply(const Suspect& suspect,
                                const L1Mending& mending) {
  const L1Table& table = model_.l1_tables[suspect.table];
  RETURN_IF_ERROR(WriteL1Entry(context_.view, table.offset_bytes, suspect.index,
                               mending.after));
  Finding finding;
  finding.location.structure =
      table.active ? Structure::kActiveL1 : Structure::kSnapshotL1;
  finding.location.table_offset = table.offset_bytes;
  finding.location.index = suspect.index;
  finding.location.snapshot = table.snapshot_name;
  context_.plan.Add({ProblemOf(suspect.entry), mending.action,
                     checker::DescribeWhere(finding), Before(suspect.entry),
                     After(mending), 1});
  if (!mending.guest.has_value()) return absl::OkStatus();
  L2Table window;
  window.l1_table = suspect.table;
  window.l1_index = static_cast<uint32_t>(suspect.index);
  context_.plan.AddGuestChange(
      {checker::GuestRangeOf(model_, window, 0, geometry_.l2_entries()),
       *mending.guest, std::string(mending.reason)});
  return absl::OkStatus();
}

absl::StatusOr<bool> L1EntryStep::Run() {
  if (!IsWorthwhile()) return false;
  entries_in_use_.resize(model_.l1_tables.size());
  ForEachL1Entry(model_, context_.view,
                 [this](uint32_t table, uint64_t index, L1Entry entry) {
                   ++entries_in_use_[table];
                   Consider(table, index, entry);
                 });
  ExplainByPlace();
  bool changed = false;
  for (const Suspect& suspect : suspects_) {
    const std::optional<L1Mending> mending = Mend(suspect);
    if (!mending.has_value()) continue;
    RETURN_IF_ERROR(Apply(suspect, *mending));
    changed = true;
  }
  return changed;
}

}  // namespace

absl::StatusOr<bool> MendL1Entries(RepairContext& context) {
  if (!context.graph.model.geometry.has_value() ||
      context.graph.map == nullptr) {
    return false;
  }
  return L1EntryStep(context).Run();
}

}  // namespace qcow2::repair
