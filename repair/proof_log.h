// Where the parts of a proof put what speaks against a plan: a bounded list of
// failures in words, counts, and the flag that ends it all early.
//
// Values in memory only. Not thread-safe.
#ifndef REPAIR_PROOF_LOG_H_
#define REPAIR_PROOF_LOG_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checker/finding.h"

namespace qcow2::repair {

struct ProofFailure {
  enum class Kind {
    kNewProblem,  // the planned image has damage that the image had not
    kGuestData,   // a guest range reads otherwise and the plan does not say so
    kEvidence,    // bytes of unreferenced clusters are overwritten
    kIncomplete,  // something could not be read, or would take too long
  };
  Kind kind = Kind::kIncomplete;
  // One line, no full stop.
  std::string message;
  // Of kGuestData.
  checker::GuestRange range;
};
// "new-problem", "guest-data", "evidence", "incomplete".
std::string_view NameOf(ProofFailure::Kind kind);

struct ProofStatistics {
  // Guest bytes, of the active disk and all snapshots, whose place is the same
  // or is proven to read the same without looking at it.
  uint64_t guest_bytes_by_mapping = 0;
  // Guest bytes that were read on both sides, or lie in clusters that changed.
  uint64_t guest_bytes_by_content = 0;
  // Pairs of L2 tables whose entries were compared.
  uint64_t l2_tables_compared = 0;
  double seconds = 0;
};

class ProofLog {
 public:
  // Lists at most `max_failures`. `cancel` may be null.
  ProofLog(size_t max_failures, const std::atomic<bool>* cancel)
      : max_failures_(max_failures), cancel_(cancel) {}

  void Fail(ProofFailure::Kind kind, std::string message);
  // A guest range that reads otherwise; adjoining ones that read alike become
  // one failure. `before` and `after`: "the host cluster at 0x50000".
  void FailGuest(const checker::GuestRange& range, const std::string& before,
                 const std::string& after);

  // True when there is no use in going on.
  bool Ended() const { return Cancelled() || omitted_ > kManyFailures; }
  bool Cancelled() const { return cancel_ != nullptr && *cancel_; }

  const std::vector<ProofFailure>& failures() const { return failures_; }
  uint64_t omitted() const { return omitted_; }

  ProofStatistics statistics;

 private:
  // A plan that is so wrong need not be looked at to its end.
  static constexpr uint64_t kManyFailures = 10000;

  bool Full() const { return failures_.size() >= max_failures_; }

  const size_t max_failures_;
  const std::atomic<bool>* cancel_;
  std::vector<ProofFailure> failures_;
  uint64_t omitted_ = 0;
  // What the last failure of a guest range said, to carry it on.
  std::string last_before_;
  std::string last_after_;
};

}  // namespace qcow2::repair

#endif  // REPAIR_PROOF_LOG_H_
