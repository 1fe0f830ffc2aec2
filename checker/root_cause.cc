#include "checker/root_cause.h"

#include <algorithm>
#include <initializer_list>

namespace qcow2::checker {
namespace {

bool IsAnyOf(Problem problem, std::initializer_list<Problem> problems) {
  return std::find(problems.begin(), problems.end(), problem) != problems.end();
}

bool SharesClusters(const Finding& a, const Finding& b) {
  if (!a.host.has_value() || !b.host.has_value()) return false;
  return a.host->first_cluster < b.host->first_cluster + b.host->clusters &&
         b.host->first_cluster < a.host->first_cluster + a.host->clusters;
}

bool IsOverlap(Problem problem) {
  return IsAnyOf(problem,
                 {Problem::kOverlapMetadata, Problem::kOverlapGuestData});
}

bool IsWholeTableDamage(Problem problem) {
  return IsAnyOf(
      problem, {Problem::kL2TableIsRefcountBlock, Problem::kL2TableIsGuestData,
                Problem::kL2TableWiped});
}

// What comes of two owners writing the same cluster.
bool OverlapExplains(const Finding& overlap, const Finding& finding) {
  return IsOverlap(overlap.problem) && !IsOverlap(finding.problem) &&
         SharesClusters(overlap, finding) &&
         (IsWholeTableDamage(finding.problem) ||
          IsAnyOf(finding.problem,
                  {Problem::kRefcountBlockShared, Problem::kRefcountTooLow,
                   Problem::kRefcountTooHigh, Problem::kRefcountOverflow,
                   Problem::kL1CopiedWrong, Problem::kL2CopiedWrong}));
}

// A table damaged as a whole, and its entries.
bool TableExplains(const Finding& table, const Finding& finding) {
  return IsWholeTableDamage(table.problem) &&
         RowOf(finding.problem).area == Area::kL2 &&
         !IsWholeTableDamage(finding.problem) &&
         finding.location.table_offset.has_value() &&
         finding.location.table_offset == table.location.table_offset;
}

// A refcount block that cannot be right, and the counts it should hold.
bool BlockExplains(const Geometry& geometry, const Finding& block,
                   const Finding& finding) {
  if (!IsAnyOf(block.problem,
               {Problem::kRefcountBlockMissing, Problem::kRefcountBlockPastEnd,
                Problem::kRefcountBlockDuplicate,
                Problem::kRefcountTableEntryReserved}) ||
      !IsAnyOf(finding.problem,
               {Problem::kRefcountTooLow, Problem::kRefcountTooHigh,
                Problem::kClusterLeaked, Problem::kRefcountPastEnd,
                Problem::kRefcountBlockMissing}) ||
      block.problem == finding.problem || !block.location.index.has_value() ||
      !finding.host.has_value()) {
    return false;
  }
  return finding.host->first_cluster / geometry.refcount_block_entries() ==
         *block.location.index;
}

// Guest clusters that share a host cluster, and what that does to its counts.
bool SharingExplains(const Finding& shared, const Finding& finding) {
  return shared.problem == Problem::kGuestClusterShared &&
         IsAnyOf(finding.problem,
                 {Problem::kL2CopiedWrong, Problem::kRefcountTooLow}) &&
         SharesClusters(shared, finding);
}

// Damage that loses references: what they named now looks leaked.
bool LosesReferences(Problem problem) {
  return IsWholeTableDamage(problem) ||
         IsAnyOf(
             problem,
             {Problem::kL1EntryUnaligned, Problem::kL1EntryPastEnd,
              Problem::kL1TableUnreadable, Problem::kL2EntryUnaligned,
              Problem::kL2EntryPastEnd, Problem::kL2TableUnreadable,
              Problem::kCompressedPastEnd, Problem::kSnapshotUnparseable,
              Problem::kSnapshotL1Unaligned, Problem::kSnapshotL1PastEnd,
              Problem::kSnapshotL1TooLarge, Problem::kSnapshotExtraLong,
              Problem::kSnapshotTableUnaligned, Problem::kSnapshotTablePastEnd,
              Problem::kL1TablePastEnd, Problem::kSubclusterWithoutOffset});
}

// The only one of the candidates, or null if there are several or none.
Finding* OnlyOne(const std::vector<Finding*>& candidates) {
  return candidates.size() == 1 ? candidates.front() : nullptr;
}

// Follows the links to the end; they never form a circle, but a bound costs
// nothing.
void FollowLinks(std::vector<Finding>& findings) {
  for (Finding& finding : findings) {
    for (int step = 0; step < 8; ++step) {
      const Finding& cause = findings[finding.root_cause - 1];
      if (cause.root_cause == finding.root_cause) break;
      finding.root_cause = cause.root_cause;
    }
  }
}

}  // namespace

void LinkRootCauses(const Geometry& geometry, std::vector<Finding>& findings) {
  std::vector<Finding*> causes;
  std::vector<Finding*> losses;
  for (Finding& finding : findings) {
    finding.root_cause = finding.id;
    if (LosesReferences(finding.problem)) losses.push_back(&finding);
    if (IsOverlap(finding.problem) || IsWholeTableDamage(finding.problem) ||
        finding.problem == Problem::kGuestClusterShared ||
        RowOf(finding.problem).number / 10 == 30) {
      causes.push_back(&finding);
    }
  }
  // With thousands of causes nobody reads their links.
  constexpr size_t kMaxCauses = 1000;
  if (causes.size() > kMaxCauses) causes.resize(kMaxCauses);
  const Finding* loss = OnlyOne(losses);
  for (Finding& finding : findings) {
    for (const Finding* cause : causes) {
      if (cause->id == finding.id) continue;
      if (OverlapExplains(*cause, finding) || TableExplains(*cause, finding) ||
          BlockExplains(geometry, *cause, finding) ||
          SharingExplains(*cause, finding)) {
        finding.root_cause = cause->id;
        break;
      }
    }
    if (finding.root_cause == finding.id && finding.suspect_orphan &&
        loss != nullptr) {
      finding.root_cause = loss->id;
    }
  }
  FollowLinks(findings);
}

}  // namespace qcow2::checker
