#include "checker/pass_findings.h"

#include <algorithm>
#include <utility>

namespace qcow2::checker {

Finding HeaderFinding(Problem problem, std::string_view field,
                      std::optional<uint64_t> actual,
                      std::optional<uint64_t> expected, std::string detail) {
  Finding finding;
  finding.problem = problem;
  finding.location.structure = Structure::kHeader;
  finding.location.field = field;
  finding.actual = actual;
  finding.expected = expected;
  finding.detail = std::move(detail);
  return finding;
}

HostRun RunOf(const Geometry& geometry, uint64_t offset_bytes,
              uint64_t length_bytes) {
  const uint64_t lead = geometry.OffsetInCluster(offset_bytes);
  HostRun run;
  run.first_cluster = geometry.ClusterOf(HostOffset(offset_bytes)).value();
  run.clusters = length_bytes > ~uint64_t{0} - lead
                     ? geometry.ClustersFor(length_bytes)
                     : geometry.ClustersFor(lead + length_bytes);
  run.offset_bytes = offset_bytes - lead;
  return run;
}

void ReportUnreadable(CheckState& state, const Location& location,
                      const std::vector<UnreadableRange>& ranges) {
  for (const UnreadableRange& range : ranges) {
    Finding finding;
    finding.problem = Problem::kRangeUnreadable;
    finding.location = location;
    finding.actual = range.length_bytes;
    finding.expected = range.offset_bytes;
    finding.detail = range.reason;
    if (state.model.geometry) {
      finding.host =
          RunOf(*state.model.geometry, range.offset_bytes, range.length_bytes);
    }
    state.sink.Add(std::move(finding));
    state.sink.AddUnreadableBytes(range.length_bytes);
    state.model.references_incomplete = true;
  }
}

void AddRegion(CheckState& state, MetadataRegion region) {
  if (region.length_bytes == 0) return;
  const Geometry& geometry = *state.model.geometry;
  if (state.model.ReachesPastEnd(region.offset_bytes, region.length_bytes)) {
    if (state.options.qemu_compatible) return;
    const uint64_t end = state.model.FileClusters() << geometry.cluster_bits();
    if (region.offset_bytes >= end) return;
    region.goes_on_past_end = region.length_bytes > end - region.offset_bytes;
    region.length_bytes =
        std::min(region.length_bytes, end - region.offset_bytes);
  }
  state.model.regions.push_back(region);
}

}  // namespace qcow2::checker
