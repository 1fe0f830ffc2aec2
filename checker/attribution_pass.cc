#include "checker/attribution_pass.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "checker/cluster_owners.h"
#include "checker/l2_entry_judge.h"
#include "checker/table_walk.h"
#include "engine/format/l1_entry.h"

namespace qcow2::checker {
namespace {

// Claims kept to explain findings; the report lists far fewer.
constexpr size_t kMaxClaims = 1 << 17;
// Claims on the same clusters that are looked at: enough to say who meets
// there.
constexpr size_t kMaxClaimsAtOnce = 64;
// Owners named in a finding's detail.
constexpr size_t kMaxOwnersNamed = 4;

// Rows that get owners and guest ranges from their host run.
constexpr Problem kExplained[] = {
    Problem::kRefcountTooLow, Problem::kRefcountTooHigh,
    Problem::kRefcountOverflow, Problem::kRefcountBlockShared};

bool CopiedContradicts(const ReferenceCell& cell, bool copied) {
  return copied != (cell.count == 1);
}

// What the threads of the walk share.
struct Shared {
  std::mutex mutex;
  ClusterOwners owners{kMaxClaims};
};

// Collects the claims of the L2 entries one thread visits.
class ClaimVisitor : public TableVisitor {
 public:
  ClaimVisitor(const CheckState& state, std::span<const L2Table> tables,
               const ClusterSet& wanted, const ClusterSet& contradictions,
               const ReferenceMap& map, Shared& shared)
      : model_(state.model),
        geometry_(*state.model.geometry),
        rules_(ScanRulesOf(state)),
        qemu_compatible_(state.options.qemu_compatible),
        tables_(tables),
        wanted_(wanted),
        contradictions_(contradictions),
        map_(map),
        shared_(shared) {}

  ~ClaimVisitor() override { EndBatch(); }

  void VisitTable(uint64_t index, std::span<const std::byte> bytes,
                  const std::vector<UnreadableRange>&,
                  FindingSink& sink) override {
    index_ = static_cast<uint32_t>(index);
    sink_ = &sink;
    ScanL2Table(bytes, rules_, *this);
  }

  // Names nothing.
  void VisitHole(uint64_t /*index*/, FindingSink& /*sink*/) override {}

  void EndBatch() override {
    if (claims_.empty()) return;
    const std::lock_guard<std::mutex> lock(shared_.mutex);
    for (const Claim& claim : claims_) shared_.owners.Add(claim);
    claims_.clear();
  }

  // Called by the scan.
  void OnRun(const L2Run& run) {
    Take(run.host_offset_bytes >> geometry_.cluster_bits(), run.entries,
         run.first_index, run.copied);
  }
  void OnOdd(uint64_t index, L2Entry entry);

 private:
  const L2Table& table() const { return tables_[index_]; }
  // Entries from `entry` on name consecutive whole clusters.
  void Take(uint64_t first, uint64_t clusters, uint64_t entry, bool copied);
  void AddClaim(uint64_t first, uint64_t clusters, uint64_t entry,
                uint32_t owner, bool copied);
  void JudgeCopied(uint64_t first, uint64_t clusters, uint64_t entry,
                   bool copied);

  const ImageModel& model_;
  const Geometry& geometry_;
  const L2ScanRules rules_;
  const bool qemu_compatible_;
  const std::span<const L2Table> tables_;
  const ClusterSet& wanted_;
  const ClusterSet& contradictions_;
  const ReferenceMap& map_;
  Shared& shared_;
  std::vector<Claim> claims_;
  uint32_t index_ = 0;
  FindingSink* sink_ = nullptr;
};

void ClaimVisitor::AddClaim(uint64_t first, uint64_t clusters, uint64_t entry,
                            uint32_t owner, bool copied) {
  if (claims_.size() >= kMaxClaims) return;
  Claim claim;
  claim.first_cluster = first;
  claim.clusters = clusters;
  claim.owner = GuestRangeOf(model_, table(), entry, 1).vm_state
                    ? uint32_t{kOwnerVmState}
                    : owner;
  claim.copied = copied;
  claim.l2_table = index_;
  claim.l2_entry = static_cast<uint32_t>(entry);
  claim.references = table().references;
  claims_.push_back(claim);
}

void ClaimVisitor::JudgeCopied(uint64_t first, uint64_t clusters,
                               uint64_t entry, bool copied) {
  map_.ForEachRun(
      first, first + clusters,
      [&](uint64_t run, uint64_t count, const ReferenceCell& cell) {
        if (!CopiedContradicts(cell, copied)) return;
        const uint64_t index = entry + (run - first);
        Finding finding;
        finding.problem =
            copied ? Problem::kL2CopiedWrong : Problem::kL2CopiedMissing;
        finding.count = count;
        finding.location = LocationOf(model_, table(), index);
        finding.host = HostRun{run, count, run << geometry_.cluster_bits()};
        finding.guest.push_back(GuestRangeOf(model_, table(), index, count));
        finding.actual = run << geometry_.cluster_bits();
        finding.expected = cell.count;
        sink_->Add(std::move(finding), count * table().active_references);
      });
}

void ClaimVisitor::Take(uint64_t first, uint64_t clusters, uint64_t entry,
                        bool copied) {
  wanted_.Intersect(first, clusters, [&](uint64_t from, uint64_t count) {
    AddClaim(from, count, entry + (from - first), kOwnerGuestData, copied);
  });
  if (!table().active() || contradictions_.empty()) return;
  contradictions_.Intersect(
      first, clusters, [&](uint64_t from, uint64_t count) {
        JudgeCopied(from, count, entry + (from - first), copied);
      });
}

void ClaimVisitor::OnOdd(uint64_t index, L2Entry entry) {
  const EntryReference reference = ReferenceOf(model_, entry, qemu_compatible_);
  if (reference.length_bytes == 0) return;
  const uint64_t first = reference.offset_bytes >> geometry_.cluster_bits();
  if (reference.whole_cluster) {
    Take(first, 1, index, reference.copied);
    return;
  }
  const uint64_t last = (reference.offset_bytes + reference.length_bytes - 1) >>
                        geometry_.cluster_bits();
  wanted_.Intersect(first, last - first + 1,
                    [&](uint64_t from, uint64_t count) {
                      AddClaim(from, count, index, kOwnerCompressedData, false);
                    });
}

// Puts together what the claims say.
class Attribution {
 public:
  Attribution(CheckState& state, std::span<const L2Table> tables,
              const RefcountStructures& structures,
              const ComparePassResult& compared, const ReferenceMap& map)
      : state_(state),
        geometry_(*state.model.geometry),
        tables_(tables),
        structures_(structures),
        compared_(compared),
        map_(map) {}

  void Run(bool judge_copied);

 private:
  // The part of the finding's clusters that the map covers, none if it is
  // about others. The rest is explained when its window comes.
  ClusterRun InWindow(const Finding& finding) const;
  ClusterSet WantedClusters() const;
  void AddMetadataClaims(const ClusterSet& wanted);
  void WalkL2Tables(const ClusterSet& wanted, const ClusterSet& contradictions);
  // Visits the stretches of `run` whose clusters have the same two or more
  // claims. These are cut to the stretch, and in the same order wherever the
  // stretch is.
  template <typename Visit>
  void ForEachPiece(const ClusterRun& run, Visit visit) const;
  Claim CutTo(Claim claim, uint64_t first, uint64_t clusters) const;
  void Explain(const ClusterRun& run, Finding& finding);
  // The guest ranges of claims that were cut.
  std::vector<GuestRange> GuestRangesOf(const std::vector<Claim>& claims) const;
  std::string Names(const std::vector<Claim>& claims) const;
  // The names as they would be had the claims been cut `clusters` earlier;
  // empty if they cannot reach back so far.
  std::string NamesFurtherBack(std::vector<Claim> claims,
                               uint64_t clusters) const;
  void ReportOverlap(uint64_t first, uint64_t clusters,
                     const std::vector<Claim>& claims);
  void ReportSharedGuestClusters(uint64_t first, uint64_t clusters,
                                 const std::vector<Claim>& claims);
  void JudgeActiveL1Copied(const ClusterSet& contradictions);
  void JudgeL1Entry(const L1Table& table, uint32_t l1_table, uint64_t index,
                    L1Entry entry);

  CheckState& state_;
  const Geometry& geometry_;
  const std::span<const L2Table> tables_;
  const RefcountStructures& structures_;
  const ComparePassResult& compared_;
  const ReferenceMap& map_;
  Shared shared_;
};

ClusterRun Attribution::InWindow(const Finding& finding) const {
  if (!finding.host.has_value()) return {};
  const uint64_t first =
      std::max(finding.host->first_cluster, map_.first_cluster());
  const uint64_t end = std::min(
      finding.host->first_cluster + finding.host->clusters, map_.end_cluster());
  return {first, end > first ? end - first : 0};
}

ClusterSet Attribution::WantedClusters() const {
  std::vector<ClusterRun> runs = compared_.overlaps;
  runs.insert(runs.end(), compared_.copied_contradictions.begin(),
              compared_.copied_contradictions.end());
  for (const Problem problem : kExplained) {
    for (const Finding& finding : state_.sink.FindingsOf(problem)) {
      const ClusterRun run = InWindow(finding);
      if (run.clusters > 0) runs.push_back(run);
    }
  }
  return ClusterSet(std::move(runs));
}

void Attribution::AddMetadataClaims(const ClusterSet& wanted) {
  const auto add = [&](uint64_t offset, uint64_t length, const Claim& claim) {
    if (length == 0) return;
    const uint64_t first = offset >> geometry_.cluster_bits();
    const uint64_t last = (offset + length - 1) >> geometry_.cluster_bits();
    wanted.Intersect(first, last - first + 1,
                     [&](uint64_t from, uint64_t count) {
                       Claim part = claim;
                       part.first_cluster = from;
                       part.clusters = count;
                       shared_.owners.Add(part);
                     });
  };
  for (const MetadataRegion& region : state_.model.regions) {
    Claim claim;
    claim.owner = region.owner;
    claim.index = region.index;
    claim.references = region.references;
    add(region.offset_bytes, region.length_bytes, claim);
  }
  for (const RefcountBlock& block : structures_.blocks) {
    if (!block.counted || block.duplicate) continue;
    Claim claim;
    claim.owner = kOwnerRefcountBlock;
    claim.index = block.table_index;
    add(block.offset_bytes, geometry_.cluster_size(), claim);
  }
  for (uint32_t i = 0; i < tables_.size(); ++i) {
    Claim claim;
    claim.owner = tables_[i].active() ? kOwnerActiveL2 : kOwnerInactiveL2;
    claim.l2_table = i;
    claim.references = tables_[i].references;
    add(tables_[i].offset_bytes, geometry_.cluster_size(), claim);
  }
}

void Attribution::WalkL2Tables(const ClusterSet& wanted,
                               const ClusterSet& contradictions) {
  TableWalk walk;
  walk.tables = tables_.size();
  walk.table_bytes = geometry_.cluster_size();
  walk.offset_of = [&](uint64_t index) { return tables_[index].offset_bytes; };
  walk.make_visitor = [&] {
    return std::make_unique<ClaimVisitor>(state_, tables_, wanted,
                                          contradictions, map_, shared_);
  };
  WalkTables(state_, walk);
}

template <typename Visit>
void Attribution::ForEachPiece(const ClusterRun& run, Visit visit) const {
  const uint64_t end = run.first_cluster + run.clusters;
  const std::vector<Claim> claims =
      shared_.owners.ClaimsOn(run.first_cluster, run.clusters);
  std::vector<uint64_t> cuts = {run.first_cluster, end};
  for (const Claim& claim : claims) {
    cuts.push_back(std::clamp(claim.first_cluster, run.first_cluster, end));
    cuts.push_back(std::clamp(claim.first_cluster + claim.clusters,
                              run.first_cluster, end));
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  std::vector<Claim> here;
  size_t next = 0;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    std::erase_if(here, [&](const Claim& claim) {
      return claim.first_cluster + claim.clusters <= cuts[i];
    });
    for (; next < claims.size() && claims[next].first_cluster <= cuts[i];
         ++next) {
      if (here.size() < kMaxClaimsAtOnce) here.push_back(claims[next]);
    }
    if (here.size() < 2) continue;
    const uint64_t clusters = cuts[i + 1] - cuts[i];
    std::vector<Claim> cut;
    cut.reserve(here.size());
    for (const Claim& claim : here) {
      cut.push_back(CutTo(claim, cuts[i], clusters));
    }
    std::sort(cut.begin(), cut.end(), [](const Claim& a, const Claim& b) {
      return std::tie(a.owner, a.l2_table, a.l2_entry, a.index) <
             std::tie(b.owner, b.l2_table, b.l2_entry, b.index);
    });
    visit(cuts[i], clusters, cut);
  }
}

Claim Attribution::CutTo(Claim claim, uint64_t first, uint64_t clusters) const {
  const uint64_t from = std::max(first, claim.first_cluster);
  const uint64_t to =
      std::min(first + clusters, claim.first_cluster + claim.clusters);
  const bool entries = (claim.owner & kMetadataOwners) == 0 &&
                       claim.owner != kOwnerCompressedData;
  if (entries) {
    claim.l2_entry += static_cast<uint32_t>(from - claim.first_cluster);
  }
  claim.first_cluster = from;
  claim.clusters = to - from;
  return claim;
}

std::vector<GuestRange> Attribution::GuestRangesOf(
    const std::vector<Claim>& claims) const {
  std::vector<GuestRange> ranges;
  for (const Claim& claim : claims) {
    if ((claim.owner & kMetadataOwners) != 0) continue;
    const bool compressed = claim.owner == kOwnerCompressedData;
    ranges.push_back(GuestRangeOf(state_.model, tables_[claim.l2_table],
                                  claim.l2_entry,
                                  compressed ? 1 : claim.clusters));
  }
  return ranges;
}

std::string Attribution::Names(const std::vector<Claim>& claims) const {
  std::vector<std::string> names;
  for (const Claim& claim : claims) {
    if (names.size() == kMaxOwnersNamed) break;
    names.push_back(DescribeClaim(state_, tables_, claim));
  }
  if (claims.size() > names.size()) {
    names.push_back(absl::StrCat(claims.size() - names.size(), " more"));
  }
  return absl::StrJoin(names, ", ");
}

std::string Attribution::NamesFurtherBack(std::vector<Claim> claims,
                                          uint64_t clusters) const {
  for (Claim& claim : claims) {
    if ((claim.owner & kMetadataOwners) != 0 ||
        claim.owner == kOwnerCompressedData) {
      continue;
    }
    if (claim.l2_entry < clusters) return "";
    claim.l2_entry -= static_cast<uint32_t>(clusters);
  }
  return Names(claims);
}

void Attribution::Explain(const ClusterRun& run, Finding& finding) {
  std::vector<Claim> claims =
      shared_.owners.ClaimsOn(run.first_cluster, run.clusters);
  std::vector<std::string> others;
  for (Claim& claim : claims) {
    claim = CutTo(claim, run.first_cluster, run.clusters);
    finding.owners |= claim.owner;
    if (finding.problem != Problem::kRefcountBlockShared) continue;
    const bool itself = claim.owner == kOwnerRefcountBlock &&
                        claim.index == finding.location.index;
    if (!itself && others.size() < kMaxOwnersNamed) {
      others.push_back(DescribeClaim(state_, tables_, claim));
    }
  }
  AddGuestRanges(GuestRangesOf(claims), finding);
  if (!others.empty()) finding.detail = absl::StrJoin(others, ", ");
}

void Attribution::ReportOverlap(uint64_t first, uint64_t clusters,
                                const std::vector<Claim>& claims) {
  uint32_t owners = 0;
  for (const Claim& claim : claims) owners |= claim.owner;
  if (!state_.options.overlap.Covers(owners)) return;
  const bool guest = (owners & ~kMetadataOwners) != 0;
  Finding finding;
  finding.problem =
      guest ? Problem::kOverlapGuestData : Problem::kOverlapMetadata;
  finding.count = clusters;
  finding.location.structure = Structure::kHostCluster;
  finding.host = HostRun{first, clusters, first << geometry_.cluster_bits()};
  finding.owners = owners;
  finding.detail = Names(claims);
  // At the border of two windows: what the one before it began with.
  const std::vector<Finding>& kept = state_.sink.FindingsOf(finding.problem);
  if (first == map_.first_cluster() && !kept.empty() &&
      kept.back().host->first_cluster + kept.back().host->clusters == first &&
      NamesFurtherBack(claims, kept.back().host->clusters) ==
          kept.back().detail) {
    finding.detail = kept.back().detail;
  }
  AddGuestRanges(GuestRangesOf(claims), finding);
  state_.sink.Add(std::move(finding));
}

void Attribution::ReportSharedGuestClusters(uint64_t first, uint64_t clusters,
                                            const std::vector<Claim>& claims) {
  std::vector<Claim> active;
  bool any_copied = false;
  for (const Claim& claim : claims) {
    if (claim.owner != kOwnerGuestData || !tables_[claim.l2_table].active()) {
      continue;
    }
    active.push_back(claim);
    any_copied |= claim.copied;
  }
  if (active.size() < 2 || !any_copied) return;
  const Claim& one = active.front();
  Finding finding;
  finding.problem = Problem::kGuestClusterShared;
  finding.count = clusters;
  finding.location =
      LocationOf(state_.model, tables_[one.l2_table], one.l2_entry);
  finding.host = HostRun{first, clusters, first << geometry_.cluster_bits()};
  finding.owners = kOwnerGuestData;
  finding.actual = first << geometry_.cluster_bits();
  finding.expected = map_.At(first).count;
  AddGuestRanges(GuestRangesOf(active), finding);
  state_.sink.Add(std::move(finding));
}

void Attribution::JudgeL1Entry(const L1Table& table, uint32_t l1_table,
                               uint64_t index, L1Entry entry) {
  const uint64_t offset = entry.l2_offset().value();
  const uint64_t cluster = offset >> geometry_.cluster_bits();
  if (offset == 0 || !geometry_.IsAligned(offset) ||
      cluster < map_.first_cluster() || cluster >= map_.end_cluster() ||
      state_.model.ReachesPastEnd(offset, geometry_.cluster_size())) {
    return;
  }
  const ReferenceCell cell = map_.At(cluster);
  if (!CopiedContradicts(cell, entry.copied())) return;
  Finding finding;
  finding.problem =
      entry.copied() ? Problem::kL1CopiedWrong : Problem::kL1CopiedMissing;
  finding.location.structure = Structure::kActiveL1;
  finding.location.table_offset = table.offset_bytes;
  finding.location.index = index;
  finding.host = HostRun{cluster, 1, offset};
  L2Table whole;
  whole.l1_table = l1_table;
  whole.l1_index = static_cast<uint32_t>(index);
  finding.guest.push_back(
      GuestRangeOf(state_.model, whole, 0, geometry_.l2_entries()));
  finding.actual = cell.count;
  finding.expected = 1;
  state_.sink.Add(std::move(finding));
}

void Attribution::JudgeActiveL1Copied(const ClusterSet& contradictions) {
  bool concerned = false;
  for (const L2Table& table : tables_) {
    if (!table.active()) continue;
    contradictions.Intersect(table.offset_bytes >> geometry_.cluster_bits(), 1,
                             [&](uint64_t, uint64_t) { concerned = true; });
  }
  if (!concerned) return;
  for (uint32_t i = 0; i < state_.model.l1_tables.size(); ++i) {
    const L1Table& table = state_.model.l1_tables[i];
    if (!table.active) continue;
    ForEachL1Entry(state_, table, [&](uint64_t index, L1Entry entry) {
      contradictions.Intersect(
          entry.l2_offset().value() >> geometry_.cluster_bits(), 1,
          [&](uint64_t, uint64_t) { JudgeL1Entry(table, i, index, entry); });
    });
  }
}

void Attribution::Run(bool judge_copied) {
  const ClusterSet wanted = WantedClusters();
  if (wanted.empty()) return;
  const ClusterSet contradictions(judge_copied ? compared_.copied_contradictions
                                               : std::vector<ClusterRun>());
  AddMetadataClaims(wanted);
  WalkL2Tables(wanted, contradictions);
  if (state_.reader.Cancelled()) return;
  shared_.owners.Sort();
  for (const Problem problem : kExplained) {
    for (Finding& finding : state_.sink.FindingsOf(problem)) {
      const ClusterRun run = InWindow(finding);
      if (run.clusters > 0) Explain(run, finding);
    }
  }
  for (const ClusterRun& run : compared_.overlaps) {
    ForEachPiece(run, [&](uint64_t first, uint64_t clusters,
                          const std::vector<Claim>& claims) {
      ReportOverlap(first, clusters, claims);
    });
  }
  for (const ClusterRun& run : compared_.copied_contradictions) {
    ForEachPiece(run, [&](uint64_t first, uint64_t clusters,
                          const std::vector<Claim>& claims) {
      ReportSharedGuestClusters(first, clusters, claims);
    });
  }
  if (judge_copied) JudgeActiveL1Copied(contradictions);
}

}  // namespace

void RunAttributionPass(CheckState& state, std::span<const L2Table> tables,
                        const RefcountStructures& structures,
                        const ComparePassResult& compared,
                        const ReferenceMap& map, bool judge_copied) {
  Attribution(state, tables, structures, compared, map).Run(judge_copied);
}

}  // namespace qcow2::checker
