#include "repair/overlap_step.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "checker/check_state.h"
#include "checker/cluster_owners.h"
#include "engine/status_macros.h"
#include "repair/overlap_claims.h"
#include "repair/overlap_decision.h"
#include "repair/repoint.h"
#include "repair/view_edit.h"

namespace qcow2::repair {
namespace {

using checker::Finding;
using checker::Problem;

// More than this is not moved: it all has to be held until it is written.
constexpr size_t kMaxCopies = size_t{1} << 14;
constexpr uint64_t kMaxCopiedBytes = uint64_t{1} << 30;
constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

// A stretch of guest clusters that moves as one, since compressed data crosses
// its clusters' borders.
struct GuestGroup {
  uint64_t first_cluster = 0;
  uint64_t last_cluster = 0;
  bool compressed = false;
  // Those of its clusters that guest data leaves.
  std::vector<uint64_t> leaving;
};

// Bytes that move, and where to once there is room for them.
struct Copy {
  uint64_t from = 0;
  uint64_t clusters = 0;
  uint64_t to = 0;
};

constexpr std::string_view kOverlapsStay =
    "clusters with more than one owner stay as they are: ";

constexpr Problem kProblems[] = {Problem::kOverlapMetadata,
                                 Problem::kOverlapGuestData,
                                 Problem::kL2TableReferencedTwice};

// Stretches that share no cluster; every cluster of guest data that moves is
// in one, with all that the entries which touch it reach.
std::vector<GuestGroup> GroupGuestClusters(const OverlapClaims& claims,
                                           const OverlapDecision& decision) {
  std::vector<GuestGroup> groups;
  for (const auto& [cluster, keeper] : decision.guest_clusters) {
    const GuestClaim& claim = claims.guest.at(cluster);
    groups.push_back(
        {claim.first_cluster, claim.last_cluster, claim.compressed, {cluster}});
  }
  std::stable_sort(groups.begin(), groups.end(),
                   [](const GuestGroup& a, const GuestGroup& b) {
                     return a.first_cluster < b.first_cluster;
                   });
  std::vector<GuestGroup> merged;
  for (GuestGroup& group : groups) {
    if (merged.empty() || merged.back().last_cluster < group.first_cluster) {
      merged.push_back(std::move(group));
      continue;
    }
    GuestGroup& last = merged.back();
    last.last_cluster = std::max(last.last_cluster, group.last_cluster);
    last.compressed |= group.compressed;
    last.leaving.push_back(group.leaving.front());
  }
  return merged;
}

// Whether all of [offset, offset + length) can be read.
bool Readable(const File& view, uint64_t offset, uint64_t length) {
  std::vector<std::byte> piece;
  for (uint64_t done = 0; done < length; done += piece.size()) {
    piece.resize(std::min(kPieceBytes, length - done));
    if (!ReadZeroFilled(view, offset + done, piece).ok()) return false;
  }
  return true;
}

class Separation {
 public:
  explicit Separation(RepairContext& context)
      : context_(context),
        model_(context.graph.model),
        geometry_(*context.graph.model.geometry) {}

  absl::StatusOr<bool> Run();

 private:
  uint64_t BytesOf(uint64_t clusters) const {
    return clusters << geometry_.cluster_bits();
  }
  Copy CopyOf(const SharingUnit& unit) const {
    return {unit.offset_bytes, geometry_.ClustersFor(unit.length_bytes)};
  }
  // Decides, and drops from the decision what cannot be read after all.
  void Decide();
  // Notes what of the decision cannot be read. False if there is nothing.
  bool NoteUnreadable();
  void ListCopies();
  bool TooMuch() const;
  // Whether every new place fits into the entries that will name it.
  bool IsAddressable() const;
  // False if there is no room for everything: nothing is taken then.
  absl::StatusOr<bool> Allocate();
  absl::Status CopyAll();
  Relocations Moved() const;
  void AddRelocation(const SharingUnit& unit, uint64_t to,
                     Relocations& moved) const;
  void Describe();
  void DescribeUnits(const checker::CheckState& state);
  void DescribeGuest(const checker::CheckState& state);
  void DescribeRepeated();
  std::string NameOf(const checker::CheckState& state,
                     const SharingUnit& unit) const;
  std::string NameOfKeeper(const checker::CheckState& state, size_t keeper,
                           uint64_t cluster) const;
  std::string NameOfGuest(const checker::CheckState& state,
                          uint64_t cluster) const;
  void Note(std::string_view why);

  RepairContext& context_;
  const checker::ImageModel& model_;
  const Geometry& geometry_;
  OverlapClaims claims_;
  OverlapDecision decision_;
  std::vector<GuestGroup> groups_;
  // Of the decision's units, of the L2 tables named repeatedly and of the
  // groups, in this order.
  std::vector<Copy> copies_;
};

void Separation::Note(std::string_view why) {
  std::string note = std::string(kOverlapsStay).append(why);
  const std::vector<std::string>& notes = context_.plan.notes();
  if (std::find(notes.begin(), notes.end(), note) == notes.end()) {
    context_.plan.AddNote(std::move(note));
  }
}

bool Separation::NoteUnreadable() {
  bool found = false;
  for (const OverlapDecision::MovingUnit& moving : decision_.units) {
    SharingUnit& unit = claims_.units[moving.unit];
    const Copy copy = CopyOf(unit);
    if (Readable(context_.view, copy.from, BytesOf(copy.clusters))) continue;
    unit.movable = false;
    found = true;
  }
  for (const auto& [cluster, keeper] : decision_.guest_clusters) {
    GuestClaim& claim = claims_.guest.at(cluster);
    const uint64_t clusters = claim.last_cluster - claim.first_cluster + 1;
    if (Readable(context_.view, BytesOf(claim.first_cluster),
                 BytesOf(clusters))) {
      continue;
    }
    claim.readable = false;
    found = true;
  }
  return found;
}

void Separation::ListCopies() {
  copies_.clear();
  for (const OverlapDecision::MovingUnit& moving : decision_.units) {
    copies_.push_back(CopyOf(claims_.units[moving.unit]));
  }
  for (const auto& [which, l1_table] : claims_.repeated) {
    copies_.push_back(
        {context_.graph.l2_tables[which.l2_table].offset_bytes, 1});
  }
  groups_ = GroupGuestClusters(claims_, decision_);
  for (const GuestGroup& group : groups_) {
    copies_.push_back({BytesOf(group.first_cluster),
                       group.last_cluster - group.first_cluster + 1});
  }
}

bool Separation::TooMuch() const {
  uint64_t bytes = 0;
  for (const Copy& copy : copies_) {
    if (copy.clusters > geometry_.ClustersFor(kMaxCopiedBytes)) return true;
    bytes += BytesOf(copy.clusters);
    if (bytes > kMaxCopiedBytes) return true;
  }
  return copies_.size() > kMaxCopies;
}

void Separation::Decide() {
  const bool tied = model_.header.crypt_method == kCryptLuks;
  for (;;) {
    decision_ = DecideOverlaps(claims_, geometry_.cluster_bits(), tied);
    if ((decision_.contested &
         (checker::kOwnerActiveL1 | checker::kOwnerInactiveL1)) != 0) {
      claims_.repeated.clear();
    }
    ListCopies();
    // Every turn but the last notes something more.
    if (TooMuch() || !NoteUnreadable()) return;
  }
}

bool Separation::IsAddressable() const {
  const absl::StatusOr<uint64_t> size = context_.view.Size();
  uint64_t clusters = 1;
  bool compressed = false;
  for (const Copy& copy : copies_) clusters += copy.clusters;
  for (const GuestGroup& group : groups_) compressed |= group.compressed;
  const uint64_t limit =
      compressed ? std::min(kMaxHostOffset,
                            uint64_t{1} << geometry_.compressed_offset_bits())
                 : kMaxHostOffset;
  return size.ok() && *size < limit && limit - *size >= BytesOf(clusters);
}

absl::StatusOr<bool> Separation::Allocate() {
  // Taken from a copy first. If the file cannot become longer, it does not
  // even for the first cluster, so that the view is as it was.
  FreeClusters free_clusters = context_.free_clusters;
  for (Copy& copy : copies_) {
    const absl::StatusOr<uint64_t> offset =
        free_clusters.Allocate(context_.graph, copy.clusters, context_.view);
    if (absl::IsResourceExhausted(offset.status())) return false;
    if (!offset.ok()) return offset.status();
    copy.to = *offset;
  }
  context_.free_clusters = std::move(free_clusters);
  return true;
}

absl::Status Separation::CopyAll() {
  ASSIGN_OR_RETURN(const uint64_t image_size, context_.image.Size());
  for (const Copy& copy : copies_) {
    const uint64_t length = BytesOf(copy.clusters);
    RETURN_IF_ERROR(CopyBytes(context_.view, copy.from, copy.to, length));
    if (copy.from < image_size) {
      context_.plan.AddSource(
          {copy.from, std::min(length, image_size - copy.from)});
    }
  }
  return absl::OkStatus();
}

void Separation::AddRelocation(const SharingUnit& unit, uint64_t to,
                               Relocations& moved) const {
  switch (unit.owner) {
    case checker::kOwnerInactiveL1:
      moved.snapshot_l1_tables[unit.index] = to;
      break;
    case checker::kOwnerBitmapTable:
      moved.bitmap_tables[unit.index] = to;
      break;
    case checker::kOwnerBitmapData:
      moved.bitmap_data[{unit.index, unit.table_entry}] = to;
      break;
    case checker::kOwnerActiveL2:
    case checker::kOwnerInactiveL2:
      moved.l2_tables[unit.l2_table] = to;
      break;
    default:
      moved.named_by_header[unit.owner] = to;
  }
}

Relocations Separation::Moved() const {
  Relocations moved;
  auto copy = copies_.begin();
  for (const OverlapDecision::MovingUnit& moving : decision_.units) {
    AddRelocation(claims_.units[moving.unit], (copy++)->to, moved);
  }
  for (const auto& [which, l1_table] : claims_.repeated) {
    moved.repeated_l2_tables[which] = (copy++)->to;
  }
  for (const GuestGroup& group : groups_) {
    for (const uint64_t cluster : group.leaving) {
      moved.guest_shifts[cluster] = copy->to - copy->from;
    }
    ++copy;
  }
  return moved;
}

std::string Separation::NameOf(const checker::CheckState& state,
                               const SharingUnit& unit) const {
  checker::Claim claim;
  claim.owner = unit.owner;
  claim.index = unit.index;
  claim.l2_table = unit.l2_table;
  return checker::DescribeClaim(state, context_.graph.l2_tables, claim);
}

std::string Separation::NameOfGuest(const checker::CheckState& state,
                                    uint64_t cluster) const {
  const GuestClaim& guest = claims_.guest.at(cluster);
  checker::Claim claim;
  claim.owner = guest.compressed ? checker::kOwnerCompressedData
                                 : checker::kOwnerGuestData;
  claim.clusters = 1;
  claim.l2_table = guest.l2_table;
  claim.l2_entry = guest.l2_entry;
  return checker::DescribeClaim(state, context_.graph.l2_tables, claim);
}

std::string Separation::NameOfKeeper(const checker::CheckState& state,
                                     size_t keeper, uint64_t cluster) const {
  return keeper == OverlapDecision::kGuestKeeps
             ? NameOfGuest(state, cluster)
             : NameOf(state, claims_.units[keeper]);
}

std::string WhereOf(const Geometry& geometry, uint64_t cluster) {
  Finding finding;
  finding.location.structure = checker::Structure::kHostCluster;
  finding.host =
      checker::HostRun{cluster, 1, cluster << geometry.cluster_bits()};
  return checker::DescribeWhere(finding);
}

Edit MakeEdit(Problem problem, std::string where, std::string before,
              std::string after, uint64_t count) {
  return {problem,          checker::RepairAction::kSeparateOwners,
          std::move(where), std::move(before),
          std::move(after), count};
}

void Separation::DescribeUnits(const checker::CheckState& state) {
  for (size_t i = 0; i < decision_.units.size(); ++i) {
    const OverlapDecision::MovingUnit& moving = decision_.units[i];
    const std::string name = NameOf(state, claims_.units[moving.unit]);
    const bool guest = moving.keeper == OverlapDecision::kGuestKeeps;
    context_.plan.Add(MakeEdit(
        guest ? Problem::kOverlapGuestData : Problem::kOverlapMetadata,
        WhereOf(geometry_, moving.cluster),
        absl::StrCat("shared by ",
                     NameOfKeeper(state, moving.keeper, moving.cluster),
                     " and ", name),
        absl::StrFormat("%s is at 0x%x", name, copies_[i].to),
        copies_[i].clusters));
  }
}

void Separation::DescribeGuest(const checker::CheckState& state) {
  size_t i = decision_.units.size() + claims_.repeated.size();
  for (const GuestGroup& group : groups_) {
    const Copy& copy = copies_[i++];
    for (const uint64_t cluster : group.leaving) {
      const std::string name = NameOfGuest(state, cluster);
      context_.plan.Add(MakeEdit(
          Problem::kOverlapGuestData, WhereOf(geometry_, cluster),
          absl::StrCat("shared by ",
                       NameOfKeeper(state, decision_.guest_clusters.at(cluster),
                                    cluster),
                       " and ", name),
          absl::StrFormat("%s is at 0x%x", name,
                          BytesOf(cluster) + (copy.to - copy.from)),
          1));
    }
  }
}

void Separation::DescribeRepeated() {
  size_t i = decision_.units.size();
  for (const auto& [which, l1_table] : claims_.repeated) {
    const checker::L1Table& table = model_.l1_tables[l1_table];
    Finding finding;
    finding.location.structure = table.active ? checker::Structure::kActiveL1
                                              : checker::Structure::kSnapshotL1;
    finding.location.table_offset = table.offset_bytes;
    finding.location.index = which.l1_index;
    finding.location.snapshot = table.snapshot_name;
    context_.plan.Add(MakeEdit(
        Problem::kL2TableReferencedTwice, checker::DescribeWhere(finding),
        absl::StrFormat("names the L2 table at 0x%x, as another entry does",
                        copies_[i].from),
        absl::StrFormat("names a copy of it at 0x%x", copies_[i].to), 1));
    ++i;
  }
}

void Separation::Describe() {
  checker::CheckState state(context_.view, context_.options.check);
  state.model = model_;
  DescribeUnits(state);
  DescribeGuest(state);
  DescribeRepeated();
}

absl::StatusOr<bool> Separation::Run() {
  ASSIGN_OR_RETURN(claims_, CollectOverlapClaims(context_));
  if (!claims_.left_out.empty()) Note(claims_.left_out);
  if (claims_.empty()) return false;
  Decide();
  if (copies_.empty()) return false;
  if (TooMuch()) {
    Note("too much would have to be copied");
    return false;
  }
  bool room = IsAddressable();
  if (room) {
    ASSIGN_OR_RETURN(room, Allocate());
  }
  if (!room) {
    context_.plan.AddReasonToStay(
        std::string(kOverlapsStay).append("there is no room for the copies"));
    return false;
  }
  // All is copied before the first entry is written: an entry may be in what
  // is copied.
  RETURN_IF_ERROR(CopyAll());
  RETURN_IF_ERROR(Repoint(context_.graph, claims_, Moved(), context_.view));
  Describe();
  return true;
}

}  // namespace

absl::StatusOr<bool> SeparateOverlaps(RepairContext& context) {
  // While tables cannot be read it is not known who else names a cluster.
  if (context.graph.map == nullptr || context.report.cancelled ||
      context.report.counts.unreadable_bytes > 0 ||
      !context.report.FoundAny(kProblems)) {
    return false;
  }
  return Separation(context).Run();
}

}  // namespace qcow2::repair
