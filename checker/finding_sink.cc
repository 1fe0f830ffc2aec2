#include "checker/finding_sink.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace qcow2::checker {
namespace {

// Every guest range of `next` carries on the one in its place of `last`.
bool GuestAdjoins(const Finding& last, const Finding& next) {
  return last.guest_ranges_omitted == next.guest_ranges_omitted &&
         std::equal(last.guest.begin(), last.guest.end(), next.guest.begin(),
                    next.guest.end(),
                    [](const GuestRange& a, const GuestRange& b) {
                      return a.snapshot == b.snapshot &&
                             a.snapshot_index == b.snapshot_index &&
                             a.vm_state == b.vm_state &&
                             a.offset_bytes + a.length_bytes == b.offset_bytes;
                    });
}

bool HostAdjoins(const Finding& last, const Finding& next) {
  if (last.host.has_value() != next.host.has_value()) return false;
  if (!last.host.has_value()) return true;
  return last.host->first_cluster + last.host->clusters ==
         next.host->first_cluster;
}

bool SamePlace(const Location& a, const Location& b) {
  return a.structure == b.structure && a.table_offset == b.table_offset &&
         a.field == b.field && a.snapshot == b.snapshot;
}

// Counts of host clusters. Their owners and guest ranges are filled in a window
// of clusters at a time, so they do not part a run but are put together.
bool IsOfCounts(const Finding& finding) {
  return finding.location.structure == Structure::kHostCluster &&
         RowOf(finding.problem).area == Area::kRefcount;
}

// For entries of a table the values differ from one to the next by nature
// (offsets), so the run carries the first one's; for host clusters a run has
// one pair of values.
bool CarriesOn(const Finding& last, const Finding& next) {
  if (!SamePlace(last.location, next.location) || last.detail != next.detail ||
      last.suspect_orphan != next.suspect_orphan) {
    return false;
  }
  if (IsOfCounts(last)) {
    return HostAdjoins(last, next) && last.actual == next.actual &&
           last.expected == next.expected;
  }
  if (last.owners != next.owners) return false;
  if (last.location.index.has_value()) {
    return next.location.index == *last.location.index + last.count &&
           GuestAdjoins(last, next);
  }
  return last.host.has_value() && HostAdjoins(last, next) &&
         last.actual == next.actual && last.expected == next.expected &&
         GuestAdjoins(last, next);
}

void Extend(Finding& last, const Finding& next) {
  last.count += next.count;
  if (IsOfCounts(last)) {
    last.owners |= next.owners;
    last.guest_ranges_omitted += next.guest_ranges_omitted;
    if (!next.guest.empty()) AddGuestRanges(next.guest, last);
  } else {
    for (size_t i = 0; i < last.guest.size(); ++i) {
      last.guest[i].length_bytes += next.guest[i].length_bytes;
    }
  }
  if (!last.host.has_value() || !next.host.has_value()) return;
  // Entries of a run may name clusters anywhere; only adjoining ones make a
  // longer host run.
  if (HostAdjoins(last, next)) {
    last.host->clusters += next.host->clusters;
  }
}

}  // namespace

FindingSink::FindingSink(uint64_t max_per_problem)
    : max_per_problem_(max_per_problem),
      kept_(AllProblems().size()),
      occurrences_(AllProblems().size()) {}

void FindingSink::Count(const ProblemRow& row, uint64_t count,
                        uint64_t qemu_count, bool suspect_orphan) {
  occurrences_[static_cast<size_t>(row.problem)] += count;
  switch (row.severity) {
    case Severity::kCorruption:
      counts_.corruptions += count;
      break;
    case Severity::kLeak:
      counts_.leaks += count;
      break;
    case Severity::kWarning:
      counts_.warnings += count;
      break;
    case Severity::kNote:
      counts_.notes += count;
      break;
  }
  if (suspect_orphan) counts_.suspect_orphans += count;
  switch (row.qemu) {
    case QemuClass::kCorruption:
      qemu_.corruptions += qemu_count;
      break;
    case QemuClass::kLeak:
      qemu_.leaks += qemu_count;
      break;
    case QemuClass::kCheckError:
      qemu_.check_errors += qemu_count;
      break;
    case QemuClass::kUnseen:
      qemu_.unseen += qemu_count;
      break;
    case QemuClass::kRefused:
      qemu_.refused = true;
      break;
    case QemuClass::kNeither:
      break;
  }
}

void FindingSink::Keep(Finding finding) {
  std::vector<Finding>& kept = kept_[static_cast<size_t>(finding.problem)];
  if (!kept.empty() && CarriesOn(kept.back(), finding)) {
    Extend(kept.back(), finding);
  } else if (!Full(kept)) {
    kept.push_back(std::move(finding));
  } else {
    ++omitted_;
  }
}

void FindingSink::Add(Finding finding, uint64_t qemu_count) {
  Count(RowOf(finding.problem), finding.count, qemu_count,
        finding.suspect_orphan);
  Keep(std::move(finding));
}

void FindingSink::AddClusterRun(Problem problem, uint64_t first_cluster,
                                uint64_t clusters, uint32_t cluster_bits,
                                uint64_t actual,
                                std::optional<uint64_t> expected,
                                uint64_t qemu_count) {
  const ProblemRow& row = RowOf(problem);
  const std::vector<Finding>& kept = kept_[static_cast<size_t>(problem)];
  if (Full(kept)) {
    const HostRun& last = *kept.back().host;
    if (last.first_cluster + last.clusters != first_cluster) {
      Count(row, clusters, qemu_count, false);
      ++omitted_;
      return;
    }
  }
  Finding finding;
  finding.problem = problem;
  finding.count = clusters;
  finding.location.structure = Structure::kHostCluster;
  finding.host =
      HostRun{first_cluster, clusters, first_cluster << cluster_bits};
  finding.actual = actual;
  finding.expected = expected;
  Add(std::move(finding), qemu_count);
}

void FindingSink::CountClusterRuns(Problem problem, uint64_t runs,
                                   uint64_t clusters) {
  Count(RowOf(problem), clusters, clusters, false);
  omitted_ += runs;
}

void FindingSink::AddQemuCounts(const QemuCounts& counts) {
  qemu_.corruptions += counts.corruptions;
  qemu_.leaks += counts.leaks;
  qemu_.check_errors += counts.check_errors;
  qemu_.unseen += counts.unseen;
  qemu_.refused |= counts.refused;
}

void FindingSink::Append(FindingSink& later) {
  for (size_t problem = 0; problem < kept_.size(); ++problem) {
    occurrences_[problem] += later.occurrences_[problem];
    for (Finding& finding : later.kept_[problem]) Keep(std::move(finding));
  }
  omitted_ += later.omitted_;
  AddQemuCounts(later.qemu_);
  counts_.corruptions += later.counts_.corruptions;
  counts_.leaks += later.counts_.leaks;
  counts_.warnings += later.counts_.warnings;
  counts_.notes += later.counts_.notes;
  counts_.suspect_orphans += later.counts_.suspect_orphans;
  counts_.unreadable_bytes += later.counts_.unreadable_bytes;
  later.Clear();
}

void FindingSink::Clear() {
  for (std::vector<Finding>& kept : kept_) kept.clear();
  std::fill(occurrences_.begin(), occurrences_.end(), uint64_t{0});
  omitted_ = 0;
  qemu_ = QemuCounts();
  counts_ = Counts();
}

void FindingSink::Rearrange(Problem problem) {
  std::vector<Finding> findings;
  findings.swap(kept_[static_cast<size_t>(problem)]);
  // Shared guest clusters are looked for by host cluster, though they have an
  // entry each.
  const auto place = [problem](const Finding& finding) {
    const Location& location = finding.location;
    return location.index.has_value() && problem != Problem::kGuestClusterShared
               ? std::pair(location.table_offset.value_or(0), *location.index)
               : std::pair(finding.host->first_cluster, uint64_t{0});
  };
  std::stable_sort(
      findings.begin(), findings.end(),
      [&](const Finding& a, const Finding& b) { return place(a) < place(b); });
  for (Finding& finding : findings) Keep(std::move(finding));
}

std::vector<Finding> FindingSink::TakeFindings() {
  std::vector<Finding> all;
  for (std::vector<Finding>& kept : kept_) {
    all.insert(all.end(), std::make_move_iterator(kept.begin()),
               std::make_move_iterator(kept.end()));
    kept.clear();
  }
  return all;
}

bool FindingSink::empty() const {
  const auto none = [](uint64_t count) { return count == 0; };
  return std::all_of(occurrences_.begin(), occurrences_.end(), none) &&
         counts_.unreadable_bytes == 0 &&
         qemu_.corruptions + qemu_.leaks + qemu_.check_errors + qemu_.unseen ==
             0 &&
         !qemu_.refused;
}

bool FindingSink::Has(Problem problem) const { return CountOf(problem) > 0; }

uint64_t FindingSink::CountOf(Problem problem) const {
  return occurrences_[static_cast<size_t>(problem)];
}

}  // namespace qcow2::checker
