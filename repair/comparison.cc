#include "repair/comparison.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace qcow2::repair {
namespace {

using checker::CheckReport;
using checker::Finding;
using checker::GuestRange;
using checker::Problem;
using checker::RepairClass;
using checker::Severity;

bool Overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length) {
  return a < b ? b - a < a_length : a - b < std::max<uint64_t>(b_length, 1);
}

bool ShareGuestBytes(const Finding& a, const Finding& b) {
  for (const GuestRange& x : a.guest) {
    for (const GuestRange& y : b.guest) {
      if (x.snapshot == y.snapshot && x.vm_state == y.vm_state &&
          Overlap(x.offset_bytes, std::max<uint64_t>(x.length_bytes, 1),
                  y.offset_bytes, y.length_bytes)) {
        return true;
      }
    }
  }
  return false;
}

bool ShareEntries(const Finding& a, const Finding& b) {
  return a.location.index.has_value() && b.location.index.has_value() &&
         a.location.table_offset == b.location.table_offset &&
         Overlap(*a.location.index, a.count, *b.location.index, b.count);
}

bool ShareClusters(const Finding& a, const Finding& b) {
  return a.host.has_value() && b.host.has_value() &&
         Overlap(a.host->first_cluster, std::max<uint64_t>(a.host->clusters, 1),
                 b.host->first_cluster, b.host->clusters);
}

bool HasPlace(const Finding& finding) {
  return finding.location.index.has_value() || finding.host.has_value() ||
         !finding.guest.empty();
}

// Findings of both lists by problem.
using ByProblem = std::multimap<Problem, const Finding*>;

ByProblem Index(const CheckReport& report) {
  ByProblem index;
  for (const auto* list : {&report.problems, &report.warnings}) {
    for (const Finding& finding : *list) {
      index.emplace(finding.problem, &finding);
    }
  }
  return index;
}

bool IsIn(const Finding& finding, const ByProblem& index) {
  const auto [begin, end] = index.equal_range(finding.problem);
  return std::any_of(begin, end, [&](const auto& item) {
    return SameDamage(finding, *item.second);
  });
}

uint64_t Less(uint64_t before, uint64_t after) {
  return before > after ? before - after : 0;
}

uint64_t CountFixed(const CheckReport& before, const CheckReport& after) {
  uint64_t fixed = 0;
  for (const checker::ProblemRow& row : checker::AllProblems()) {
    if (row.severity == Severity::kNote) continue;
    fixed += Less(before.OccurrencesOf(row.problem),
                  after.OccurrencesOf(row.problem));
  }
  return fixed;
}

bool IsLeak(const Finding& finding) {
  return checker::RowOf(finding.problem).severity == Severity::kLeak;
}

// Why `finding` is still there, and what would deal with it.
std::pair<std::string, std::string> Explain(const Finding& finding,
                                            const RepairOptions& options,
                                            const Plan& plan) {
  if (finding.suspect_orphan && !options.free_suspects) {
    return {
        "they may be what is left of guest data, and freeing them would "
        "end that",
        "--free-suspects"};
  }
  if (finding.problem == Problem::kRefcountTooHigh &&
      plan.keeps_suspect_counts()) {
    return {
        "what is damaged may name the same clusters, and with a lower count "
        "the guest would write over them",
        "--free-suspects"};
  }
  if (options.mode == Mode::kLeaks && !IsLeak(finding)) {
    return {"--repair=leaks frees leaked clusters and changes nothing else",
            "--repair"};
  }
  switch (checker::RowOf(finding.problem).repair_class) {
    case RepairClass::kNone:
      return {"nothing in the image says how to mend it", ""};
    case RepairClass::kLossy:
      if (options.mode != Mode::kSalvage) {
        return {"mending it may cost guest data", "--repair=salvage"};
      }
      return {"there was nothing certain to mend it with", ""};
    case RepairClass::kSafe:
      break;
  }
  if (plan.has_reason_to_stay()) {
    return {
        "for the reason in the plan's note, or there was nothing certain to "
        "mend it with",
        ""};
  }
  if (options.mode == Mode::kAll) {
    return {"there was nothing certain to mend it with", "--repair=salvage"};
  }
  return {"there was nothing certain to mend it with", ""};
}

void AddLeft(const Finding& finding, const RepairOptions& options,
             TransactionReport& transaction) {
  std::vector<LeftOver>& left = transaction.left;
  std::pair<std::string, std::string> explained =
      Explain(finding, options, transaction.plan);
  const std::string& why = explained.first;
  const auto same =
      std::find_if(left.begin(), left.end(), [&](const LeftOver& other) {
        return other.problem == finding.problem &&
               other.suspect_orphan == finding.suspect_orphan &&
               other.why == why;
      });
  if (same != left.end()) {
    same->count += finding.count;
    return;
  }
  left.push_back({finding.problem, finding.suspect_orphan, finding.count,
                  std::move(explained.first), std::move(explained.second)});
}

}  // namespace

bool SameDamage(const Finding& a, const Finding& b) {
  if (a.problem != b.problem || a.location.snapshot != b.location.snapshot) {
    return false;
  }
  if (ShareGuestBytes(a, b) || ShareEntries(a, b) || ShareClusters(a, b)) {
    return true;
  }
  return !HasPlace(a) && !HasPlace(b) && a.location.field == b.location.field;
}

void CompareReports(const CheckReport& before, const CheckReport& after,
                    const RepairOptions& options,
                    TransactionReport& transaction) {
  const ByProblem then = Index(before);
  const ByProblem now = Index(after);
  for (const auto* list : {&before.problems, &before.warnings}) {
    for (const Finding& finding : *list) {
      // Where not all are listed, one that is not in the list may still exist.
      const bool unknown =
          after.problems_omitted > 0 && now.contains(finding.problem);
      if (!unknown && !IsIn(finding, now)) {
        transaction.mended.push_back(finding.id);
      }
    }
  }
  std::sort(transaction.mended.begin(), transaction.mended.end());
  transaction.fixed = CountFixed(before, after);
  for (const Finding& finding : after.problems) {
    AddLeft(finding, options, transaction);
    if (before.problems_omitted == 0 && !IsIn(finding, then)) {
      transaction.appeared.push_back(finding);
    }
  }
}

}  // namespace qcow2::repair
