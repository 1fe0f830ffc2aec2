// Where passes put what they find: merges neighbours into runs, counts
// everything, keeps only as many findings of a kind as the report will list.
//
// Values in memory only. Not thread-safe: each worker has its own sink, merged
// afterwards in the order of the image, so that a report does not depend on
// how work was spread over threads.
#ifndef CHECKER_FINDING_SINK_H_
#define CHECKER_FINDING_SINK_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "checker/finding.h"
#include "checker/problems.h"
#include "checker/report.h"

namespace qcow2::checker {

class FindingSink {
 public:
  // Keeps at most `max_per_problem` findings of each problem; 0: all.
  explicit FindingSink(uint64_t max_per_problem);

  // Takes `finding` (a run of `finding.count` like occurrences). `qemu_count`
  // is how often `qemu-img check` would count it: it walks an L2 table once
  // for each L1 entry that names it. The finding is merged with the last one
  // of its problem if it carries on where that one ends: the same structure
  // and table, the next index or the next host cluster, adjoining guest range,
  // and nothing else that differs.
  void Add(Finding finding, uint64_t qemu_count);
  void Add(Finding finding) {
    const uint64_t count = finding.count;
    Add(std::move(finding), count);
  }

  // Adds a run of host clusters with like refcounts. The same as Add with such
  // a finding, but cheap where there are millions: it is only built if it is
  // kept.
  void AddClusterRun(Problem problem, uint64_t first_cluster, uint64_t clusters,
                     uint32_t cluster_bits, uint64_t actual,
                     std::optional<uint64_t> expected, uint64_t qemu_count);

  // Whether no more findings of the problem are kept, so that clusters that do
  // not adjoin the last one kept need no more than CountClusterRuns.
  bool IsFull(Problem problem) const {
    return Full(kept_[static_cast<size_t>(problem)]);
  }
  // Counts `runs` runs of host clusters, `clusters` in all, that are not kept.
  // qemu-img counts each cluster once.
  void CountClusterRuns(Problem problem, uint64_t runs, uint64_t clusters);

  // Adds to what qemu-img would count without a finding of our own.
  void AddQemuCounts(const QemuCounts& counts);

  // Adds to the bytes that could not be read.
  void AddUnreadableBytes(uint64_t bytes) { counts_.unreadable_bytes += bytes; }

  // Sets how many leaked clusters are suspect orphans, once that is known.
  void SetSuspectOrphans(uint64_t clusters) {
    counts_.suspect_orphans = clusters;
  }

  // Appends everything in `later`, which covers a later part of the image, and
  // leaves it as it was when it was made, for the next part.
  void Append(FindingSink& later);

  // Brings the findings of a problem, each with an entry or a host run, into
  // the order of the tables or the file and merges what then carries on. For
  // those found in one window of clusters after the other.
  void Rearrange(Problem problem);

  // All findings kept, in the order they were added (per problem).
  std::vector<Finding> TakeFindings();
  // The findings of one problem kept so far, for a later pass to complete.
  std::vector<Finding>& FindingsOf(Problem problem) {
    return kept_[static_cast<size_t>(problem)];
  }
  bool Has(Problem problem) const;
  // Occurrences of a problem so far, counted in full.
  uint64_t CountOf(Problem problem) const;
  // The same of all problems, by problem.
  const std::vector<uint64_t>& occurrences() const { return occurrences_; }
  // Whether nothing at all was added.
  bool empty() const;
  // Findings (runs) not kept.
  uint64_t omitted() const { return omitted_; }
  const QemuCounts& qemu() const { return qemu_; }
  // Occurrences by severity; suspect orphans by Finding::suspect_orphan.
  const Counts& counts() const { return counts_; }

 private:
  void Count(const ProblemRow& row, uint64_t count, uint64_t qemu_count,
             bool suspect_orphan);
  bool Full(const std::vector<Finding>& kept) const {
    return max_per_problem_ != 0 && kept.size() >= max_per_problem_;
  }
  void Clear();
  // Merges with the last one, keeps or leaves out; counts nothing but that.
  void Keep(Finding finding);

  uint64_t max_per_problem_;
  std::vector<std::vector<Finding>> kept_;  // by problem
  std::vector<uint64_t> occurrences_;       // by problem
  uint64_t omitted_ = 0;
  QemuCounts qemu_;
  Counts counts_;
};

}  // namespace qcow2::checker

#endif  // CHECKER_FINDING_SINK_H_
