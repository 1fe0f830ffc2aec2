#include "repair/finding_proof.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/cluster_owners.h"
#include "checker/graph.h"
#include "checker/problems.h"
#include "checker/reference_map.h"

namespace qcow2::repair {
namespace {

using checker::CheckReport;
using checker::Finding;
using checker::Graph;
using checker::Problem;
using checker::ProblemRow;
using checker::Severity;

// Where a finding is, but for the entry or cluster within it.
using Place =
    std::tuple<checker::Structure, uint64_t, std::string, std::string>;

// An entry of an L2 table is the same whoever reads through the table: a mended
// L1 entry can make an inactive one active.
Place PlaceOf(const Finding& finding) {
  if (finding.location.structure == checker::Structure::kActiveL2 ||
      finding.location.structure == checker::Structure::kInactiveL2) {
    return {checker::Structure::kActiveL2,
            finding.location.table_offset.value_or(0), finding.location.field,
            ""};
  }
  return {finding.location.structure, finding.location.table_offset.value_or(0),
          finding.location.field, finding.location.snapshot};
}

// The entries or clusters of a finding: first and end.
using Stretch = std::pair<uint64_t, uint64_t>;

Stretch StretchOf(const Finding& finding) {
  if (finding.location.index.has_value()) {
    return {*finding.location.index, *finding.location.index + finding.count};
  }
  if (finding.host.has_value()) {
    return {finding.host->first_cluster,
            finding.host->first_cluster +
                std::max<uint64_t>(1, finding.host->clusters)};
  }
  return {0, 1};
}

class FindingProof {
 public:
  FindingProof(const PlannedRepair& planned, ProofLog& log)
      : planned_(planned), log_(log) {}

  void Run();

 private:
  // The check of the image saw as much of it as there is.
  bool SawAll() const;
  // The check of the image could not get to where `finding` is.
  bool OutOfSight(const Finding& finding) const;
  void JudgeProblem(const ProblemRow& row);
  // A count that nothing accounts for, in a block that the plan made: kept for
  // what an entry that cannot be followed may name.
  bool IsKeptCount(const Finding& finding) const;
  // A count that is too high where it was right, since what the plan gave a
  // place of its own shared the cluster: kept for what damage may name.
  // `known`: the clusters of findings of before.
  bool IsKeptForSuspects(const Finding& finding,
                         const checker::ClusterSet& known) const;
  // The findings of `problem`; sets `all` to whether none is left out.
  static std::vector<const Finding*> FindingsOf(const CheckReport& report,
                                                Problem problem, bool& all);
  // Those of `after` that are not covered by `before`.
  static std::vector<const Finding*> NewPlaces(
      const std::vector<const Finding*>& before,
      const std::vector<const Finding*>& after);
  void JudgeReading();

  const PlannedRepair& planned_;
  ProofLog& log_;
};

bool FindingProof::SawAll() const {
  const Graph& graph = planned_.graph_before;
  return graph.map != nullptr && !graph.model.refcounts_unknown &&
         !graph.model.references_incomplete && !planned_.before.qemu.refused;
}

bool FindingProof::OutOfSight(const Finding& finding) const {
  const Graph& graph = planned_.graph_before;
  if (graph.map == nullptr) return true;
  if (finding.host.has_value() &&
      finding.location.structure == checker::Structure::kHostCluster) {
    const checker::Area area = RowOf(finding.problem).area;
    if (graph.model.refcounts_unknown && area == checker::Area::kRefcount) {
      return true;
    }
    // References that were not there before come from what became reachable.
    return planned_.graph_after.map != nullptr &&
           graph.map->At(finding.host->first_cluster) !=
               planned_.graph_after.map->At(finding.host->first_cluster);
  }
  if (!finding.location.table_offset.has_value()) return false;
  const uint64_t offset = *finding.location.table_offset;
  const auto is_there = [offset](const auto& table) {
    return table.offset_bytes == offset;
  };
  const checker::ImageModel& model = graph.model;
  return std::none_of(graph.l2_tables.begin(), graph.l2_tables.end(),
                      is_there) &&
         std::none_of(model.l1_tables.begin(), model.l1_tables.end(),
                      is_there) &&
         std::none_of(model.regions.begin(), model.regions.end(), is_there);
}

// The offset of the block that counts `cluster`; 0 if there is none.
uint64_t BlockCounting(const Graph& graph, uint64_t cluster) {
  const uint64_t index =
      cluster / graph.model.geometry->refcount_block_entries();
  const auto& blocks = graph.refcounts.blocks;
  const auto found = std::find_if(blocks.begin(), blocks.end(),
                                  [index](const checker::RefcountBlock& it) {
                                    return it.table_index == index;
                                  });
  return found == blocks.end() ? 0 : found->offset_bytes;
}

bool FindingProof::IsKeptCount(const Finding& finding) const {
  if ((finding.problem != Problem::kClusterLeaked &&
       finding.problem != Problem::kOrphanL2Table) ||
      !planned_.graph_after.model.references_incomplete ||
      !finding.host.has_value()) {
    return false;
  }
  const uint64_t cluster = finding.host->first_cluster;
  return BlockCounting(planned_.graph_before, cluster) !=
         BlockCounting(planned_.graph_after, cluster);
}

checker::ClusterSet ClustersOf(const std::vector<const Finding*>& findings) {
  std::vector<checker::ClusterRun> runs;
  for (const Finding* finding : findings) {
    const auto [first, end] = StretchOf(*finding);
    runs.push_back({first, end - first});
  }
  return checker::ClusterSet(std::move(runs));
}

bool FindingProof::IsKeptForSuspects(const Finding& finding,
                                     const checker::ClusterSet& known) const {
  const Graph& graph = planned_.graph_before;
  if (finding.problem != Problem::kRefcountTooHigh || graph.map == nullptr ||
      !planned_.plan.keeps_suspect_counts() || !finding.host.has_value()) {
    return false;
  }
  const auto [first, end] = StretchOf(finding);
  bool kept = true;
  uint64_t next = first;
  const auto judge = [&](uint64_t to) {
    if (next >= to) return;
    graph.map->ForEachRun(
        next, to, [&](uint64_t, uint64_t, const checker::ReferenceCell& cell) {
          kept &= cell.count >= finding.actual.value_or(~uint64_t{0});
        });
  };
  known.Intersect(first, end - first, [&](uint64_t begin, uint64_t clusters) {
    judge(begin);
    next = begin + clusters;
  });
  judge(end);
  return kept;
}

std::vector<const Finding*> FindingProof::FindingsOf(const CheckReport& report,
                                                     Problem problem,
                                                     bool& all) {
  std::vector<const Finding*> findings;
  uint64_t occurrences = 0;
  for (const Finding& finding : report.problems) {
    if (finding.problem != problem) continue;
    findings.push_back(&finding);
    occurrences += finding.count;
  }
  all = occurrences == report.OccurrencesOf(problem);
  return findings;
}

std::vector<const Finding*> FindingProof::NewPlaces(
    const std::vector<const Finding*>& before,
    const std::vector<const Finding*>& after) {
  std::map<Place, std::vector<Stretch>> known;
  for (const Finding* finding : before) {
    known[PlaceOf(*finding)].push_back(StretchOf(*finding));
  }
  for (auto& [place, stretches] : known) {
    std::sort(stretches.begin(), stretches.end());
  }
  std::vector<const Finding*> fresh;
  for (const Finding* finding : after) {
    auto [first, end] = StretchOf(*finding);
    for (const Stretch& stretch : known[PlaceOf(*finding)]) {
      if (stretch.first <= first) first = std::max(first, stretch.second);
      if (first >= end) break;
    }
    if (first < end) fresh.push_back(finding);
  }
  return fresh;
}

void FindingProof::JudgeProblem(const ProblemRow& row) {
  uint64_t before = planned_.before.OccurrencesOf(row.problem);
  const uint64_t after = planned_.after.OccurrencesOf(row.problem);
  if (after == 0) return;
  bool all_before = false;
  bool all_after = false;
  std::vector<const Finding*> known =
      FindingsOf(planned_.before, row.problem, all_before);
  if (row.problem == Problem::kRefcountTooHigh) {
    // Once something refers to it, a leaked cluster's count may be too high.
    bool all_leaks = false;
    const auto leaks =
        FindingsOf(planned_.before, Problem::kClusterLeaked, all_leaks);
    known.insert(known.end(), leaks.begin(), leaks.end());
    all_before &= all_leaks;
    before += planned_.before.OccurrencesOf(Problem::kClusterLeaked);
  }
  const auto fresh =
      NewPlaces(known, FindingsOf(planned_.after, row.problem, all_after));
  const bool saw_all = SawAll();
  if (all_before && all_after) {
    if (fresh.empty()) return;
    const checker::ClusterSet clusters = ClustersOf(known);
    for (const Finding* finding : fresh) {
      if (!saw_all && OutOfSight(*finding)) continue;
      if (IsKeptCount(*finding)) continue;
      if (IsKeptForSuspects(*finding, clusters)) continue;
      log_.Fail(ProofFailure::Kind::kNewProblem,
                absl::StrCat("new damage (", std::string(row.code),
                             "): ", DescribeFinding(*finding)));
    }
  } else if (after > before && saw_all) {
    log_.Fail(ProofFailure::Kind::kNewProblem,
              absl::StrCat("new damage (", std::string(row.code), "): ", after,
                           " occurrences instead of ", before));
  }
}

void FindingProof::JudgeReading() {
  if (planned_.after.cancelled) {
    log_.Fail(ProofFailure::Kind::kIncomplete,
              "the check of the planned image was cancelled");
  }
  if (!SawAll()) return;
  if (planned_.after.counts.unreadable_bytes >
          planned_.before.counts.unreadable_bytes ||
      planned_.after.errors.size() > planned_.before.errors.size()) {
    log_.Fail(ProofFailure::Kind::kIncomplete,
              "less of the planned image can be read than of the image");
  }
}

void FindingProof::Run() {
  JudgeReading();
  for (const ProblemRow& row : checker::AllProblems()) {
    if (row.severity != Severity::kCorruption &&
        row.severity != Severity::kLeak) {
      continue;
    }
    JudgeProblem(row);
  }
}

}  // namespace

void ProveFindings(const PlannedRepair& planned, ProofLog& log) {
  FindingProof(planned, log).Run();
}

}  // namespace qcow2::repair
