#include "repair/proof_log.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace qcow2::repair {
namespace {

std::string DescribeGuestFailure(const checker::GuestRange& range,
                                 const std::string& before,
                                 const std::string& after) {
  const std::string of =
      range.snapshot.empty()
          ? "the active disk"
          : absl::StrCat("snapshot \"", range.snapshot, "\"");
  return absl::StrCat(range.length_bytes, " bytes of ", of, " at offset ",
                      range.offset_bytes, range.vm_state ? " (VM state)" : "",
                      " would read otherwise: ", before, " before, ", after,
                      " after");
}

}  // namespace

std::string_view NameOf(ProofFailure::Kind kind) {
  switch (kind) {
    case ProofFailure::Kind::kNewProblem:
      return "new-problem";
    case ProofFailure::Kind::kGuestData:
      return "guest-data";
    case ProofFailure::Kind::kEvidence:
      return "evidence";
    case ProofFailure::Kind::kIncomplete:
      return "incomplete";
  }
  return "";
}

void ProofLog::Fail(ProofFailure::Kind kind, std::string message) {
  if (Full()) {
    ++omitted_;
    return;
  }
  failures_.push_back({kind, std::move(message), {}});
}

void ProofLog::FailGuest(const checker::GuestRange& range,
                         const std::string& before, const std::string& after) {
  if (!failures_.empty()) {
    ProofFailure& last = failures_.back();
    if (last.kind == ProofFailure::Kind::kGuestData &&
        last.range.snapshot == range.snapshot &&
        last.range.offset_bytes + last.range.length_bytes ==
            range.offset_bytes &&
        last.range.vm_state == range.vm_state && last_before_ == before &&
        last_after_ == after) {
      last.range.length_bytes += range.length_bytes;
      last.message = DescribeGuestFailure(last.range, before, after);
      return;
    }
  }
  if (Full()) {
    ++omitted_;
    return;
  }
  last_before_ = before;
  last_after_ = after;
  failures_.push_back({ProofFailure::Kind::kGuestData,
                       DescribeGuestFailure(range, before, after), range});
}

}  // namespace qcow2::repair
