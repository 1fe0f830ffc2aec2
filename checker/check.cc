#include "checker/check.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checker/attribution_pass.h"
#include "checker/check_state.h"
#include "checker/compare_pass.h"
#include "checker/deep_pass.h"
#include "checker/graph.h"
#include "checker/l2_tables.h"
#include "checker/ownership_collector.h"
#include "checker/passes.h"
#include "checker/pattern_pass.h"
#include "checker/refcount_structures.h"
#include "checker/reference_map.h"
#include "checker/reference_pass.h"
#include "checker/root_cause.h"
#include "checker/stored_copied_pass.h"

namespace qcow2::checker {
namespace {

// The passes that need the whole graph of references, window by window: one
// window unless a memory limit asks for more.
class GraphCheck {
 public:
  explicit GraphCheck(CheckState& state) : state_(state) {}

  void Run();

  // Hands what was learnt over to `graph`.
  void MoveTo(Graph& graph);

 private:
  // Checks clusters from `first` on; returns the end of what fitted.
  uint64_t RunWindow(uint64_t first, uint64_t end);
  void ExpectBytes() const;

  CheckState& state_;
  std::vector<L2Table> tables_;
  RefcountStructures structures_;
  ReferencePassResult references_;
  // Of the whole image, if it fitted and somebody wants it.
  std::unique_ptr<ReferenceMap> whole_map_;
  // If somebody wants to know who owns what.
  std::optional<OwnershipCollector> ownership_;
  uint64_t highest_cluster_ = 0;
};

void GraphCheck::MoveTo(Graph& graph) {
  graph.l2_tables = std::move(tables_);
  graph.refcounts = std::move(structures_);
  graph.map = std::move(whole_map_);
  graph.empty_active_tables = std::move(references_.empty_active_tables);
}

// Findings of passes that took the image in several windows: as if there had
// been one.
void JoinWindows(FindingSink& sink) {
  for (const Problem problem :
       {Problem::kRefcountBlockShared, Problem::kRefcountTooLow,
        Problem::kRefcountTooHigh, Problem::kClusterLeaked,
        Problem::kRefcountOverflow, Problem::kL1CopiedWrong,
        Problem::kL1CopiedMissing, Problem::kL2CopiedWrong,
        Problem::kL2CopiedMissing, Problem::kGuestClusterShared,
        Problem::kOverlapMetadata, Problem::kOverlapGuestData}) {
    sink.Rearrange(problem);
  }
}

void GraphCheck::ExpectBytes() const {
  state_.reader.Expect((tables_.size() + structures_.blocks.size()) *
                       state_.model.geometry->cluster_size());
}

uint64_t GraphCheck::RunWindow(uint64_t first, uint64_t end) {
  ++state_.statistics.passes;
  ExpectBytes();
  const bool first_window = first == 0;
  auto owned_map = std::make_unique<ReferenceMap>(
      first, end, state_.options.memory_limit_bytes);
  ReferenceMap& map = *owned_map;
  ReferencePassResult references =
      RunReferencePass(state_, tables_, first_window, map);
  if (first_window) references_ = std::move(references);
  AddRefcountBlocks(state_, structures_, map);
  const uint64_t window_end = map.end_cluster();
  state_.statistics.map_memory_bytes =
      std::max(state_.statistics.map_memory_bytes, map.peak_memory_bytes());
  if (state_.reader.Cancelled()) return window_end;
  const ComparePassResult compared = RunComparePass(state_, structures_, map);
  FindSharedRefcountBlocks(state_, structures_, map);
  RunAttributionPass(state_, tables_, structures_, compared, map,
                     /*judge_copied=*/!state_.options.qemu_compatible);
  if (ownership_) ownership_->AddWindow(structures_, compared, map);
  highest_cluster_ =
      std::max(highest_cluster_, compared.highest_cluster_in_use);
  if (first_window && window_end >= end && state_.options.graph != nullptr) {
    whole_map_ = std::move(owned_map);
  }
  return window_end;
}

void GraphCheck::Run() {
  tables_ = CollectL2Tables(state_);
  structures_ = ReadRefcountStructures(state_);
  state_.statistics.l2_tables = tables_.size();
  state_.statistics.refcount_blocks = structures_.blocks.size();
  if (state_.options.ownership != nullptr) {
    ownership_.emplace(state_, *state_.options.ownership);
  }
  // Data may end in the cluster that the end of the file cuts off.
  const uint64_t end = state_.model.FileClusters() + 1;
  for (uint64_t first = 0; first < end && !state_.reader.Cancelled();) {
    first = RunWindow(first, end);
  }
  if (ownership_) ownership_->Finish(tables_, structures_);
  if (state_.reader.Cancelled()) return;
  if (state_.statistics.passes > 1) JoinWindows(state_.sink);
  RunPatternPass(state_, tables_, references_);
  if (state_.options.qemu_compatible) {
    RunStoredCopiedPass(state_, structures_);
  }
  if (state_.options.deep) RunDeepPass(state_, tables_);
  state_.summary.image_end_offset_bytes =
      (highest_cluster_ + 1) * state_.model.geometry->cluster_size();
}

void CountGuestClusters(CheckState& state) {
  // Programs see a disk of whole sectors.
  const uint64_t sectors = state.model.header.size / 512;
  state.allocation.total_clusters =
      state.model.geometry->ClustersFor(sectors * 512);
}

// True if the image could be looked at beyond its header.
bool RunPasses(CheckState& state) {
  const absl::StatusOr<uint64_t> size = state.reader.file().Size();
  if (!size.ok()) {
    state.errors.push_back(std::string(size.status().message()));
    return false;
  }
  state.model.file_size_bytes = *size;
  state.summary.file_size_bytes = *size;
  if (!RunHeaderPass(state) || !state.model.geometry.has_value()) return false;
  state.statistics.host_clusters = state.model.FileClusters();
  CountGuestClusters(state);
  RunSnapshotPass(state);
  RunBitmapPass(state);
  RunLuksPass(state);
  RunOtherFilesPass(state);
  GraphCheck graph(state);
  graph.Run();
  if (state.options.graph != nullptr) graph.MoveTo(*state.options.graph);
  return true;
}

// Host cluster findings come from several passes: back into the order of the
// file. Others are in the order of their tables already.
void SortFindings(std::vector<Finding>& findings) {
  const auto key = [](const Finding& finding) {
    const bool by_cluster =
        finding.location.structure == Structure::kHostCluster &&
        finding.host.has_value();
    return std::tuple(static_cast<int>(RowOf(finding.problem).severity),
                      RowOf(finding.problem).number,
                      by_cluster ? finding.host->first_cluster : uint64_t{0});
  };
  std::stable_sort(
      findings.begin(), findings.end(),
      [&](const Finding& a, const Finding& b) { return key(a) < key(b); });
}

void FillFindings(CheckState& state, CheckReport& report) {
  std::vector<Finding> findings = state.sink.TakeFindings();
  SortFindings(findings);
  uint32_t id = 0;
  for (Finding& finding : findings) finding.id = finding.root_cause = ++id;
  if (state.model.geometry.has_value()) {
    LinkRootCauses(*state.model.geometry, findings);
  }
  report.problems_omitted = state.sink.omitted();
  const uint64_t limit = state.options.max_problems;
  for (Finding& finding : findings) {
    const Severity severity = RowOf(finding.problem).severity;
    std::vector<Finding>& list =
        severity == Severity::kCorruption || severity == Severity::kLeak
            ? report.problems
            : report.warnings;
    if (limit != 0 && list.size() >= limit) {
      ++report.problems_omitted;
    } else {
      list.push_back(std::move(finding));
    }
  }
}

CheckStatus StatusOf(const CheckState& state, bool checked, bool cancelled) {
  const Counts& counts = state.sink.counts();
  if (!checked) {
    const bool is_qcow2 =
        state.summary.recognised || state.sink.Has(Problem::kHeaderOverwritten);
    return is_qcow2 && state.errors.empty() ? CheckStatus::kCorrupt
                                            : CheckStatus::kError;
  }
  const uint64_t unreadable =
      state.sink.CountOf(Problem::kRangeUnreadable) +
      state.sink.CountOf(Problem::kL1TableUnreadable) +
      state.sink.CountOf(Problem::kL2TableUnreadable) +
      state.sink.CountOf(Problem::kRefcountBlockUnreadable);
  if (counts.corruptions > unreadable) return CheckStatus::kCorrupt;
  if (cancelled || unreadable > 0 || counts.unreadable_bytes > 0 ||
      !state.errors.empty()) {
    return CheckStatus::kInconclusive;
  }
  return counts.leaks > 0 ? CheckStatus::kLeaks : CheckStatus::kClean;
}

uint64_t PeakMemoryBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace

CheckReport CheckImage(const File& file, const std::string& path,
                       const CheckOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  CheckState state(file, options);
  state.model.path = path;
  state.summary.path = path;
  const bool checked = RunPasses(state);

  CheckReport report;
  report.cancelled = state.reader.Cancelled();
  report.status = StatusOf(state, checked, report.cancelled);
  report.counts = state.sink.counts();
  report.occurrences = state.sink.occurrences();
  report.qemu = state.sink.qemu();
  FillFindings(state, report);
  report.image = std::move(state.summary);
  report.allocation = state.allocation;
  report.errors = std::move(state.errors);
  report.statistics = state.statistics;
  report.statistics.metadata_bytes = state.reader.bytes_read();
  report.statistics.peak_memory_bytes = PeakMemoryBytes();
  const std::chrono::duration<double> elapsed =
      std::chrono::steady_clock::now() - start;
  report.statistics.seconds = elapsed.count();
  if (options.graph != nullptr) options.graph->model = std::move(state.model);
  return report;
}

}  // namespace qcow2::checker
