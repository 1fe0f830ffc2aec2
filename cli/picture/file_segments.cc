#include "cli/picture/file_segments.h"

#include <algorithm>
#include <array>
#include <set>
#include <tuple>
#include <utility>

#include "checker/ownership_runs.h"
#include "checker/problems.h"

namespace qcow2::cli {

using checker::CheckReport;
using checker::ClusterClass;
using checker::ClusterMark;
using checker::ClusterRun;
using checker::Finding;
using checker::OwnershipMap;
using checker::Severity;
using checker::Structure;

namespace {

// The clusters a finding is about, none if it is about none.
ClusterRun PlaceOf(const Finding& finding, const OwnershipMap& map) {
  if (finding.host.has_value() && finding.host->clusters > 0) {
    return {finding.host->first_cluster, finding.host->clusters};
  }
  if (finding.location.table_offset.has_value()) {
    return {*finding.location.table_offset / map.cluster_size_bytes, 1};
  }
  const bool header = finding.location.structure == Structure::kHeader ||
                      finding.location.structure == Structure::kHeaderExtension;
  return {0, header ? uint64_t{1} : 0};
}

struct PlacedFinding {
  ClusterRun place;
  uint32_t id = 0;
  uint32_t marks = 0;
};

uint32_t MarksOf(ClusterMark mark) {
  switch (mark) {
    case ClusterMark::kLeaked:
      return 0;
    case ClusterMark::kCountTooLow:
      return kMarkDamaged;
    case ClusterMark::kCountTooHigh:
      return kMarkTooHigh;
    case ClusterMark::kCountUnknown:
      return kMarkUnknown;
    case ClusterMark::kOverlap:
      return kMarkOverlap | kMarkDamaged;
  }
  return 0;
}

// The marks of what is open at a cluster, whatever how much that is.
class OpenMarks {
 public:
  void Take(uint32_t marks, bool begins) {
    for (size_t bit = 0; bit < counts_.size(); ++bit) {
      if ((marks >> bit & 1) != 0) counts_[bit] += begins ? 1 : -1;
    }
  }
  uint32_t marks() const {
    uint32_t marks = 0;
    for (size_t bit = 0; bit < counts_.size(); ++bit) {
      if (counts_[bit] > 0) marks |= 1u << bit;
    }
    return marks;
  }

 private:
  std::array<int64_t, kSegmentMarks> counts_ = {};
};

// Cuts the file into segments: goes along the clusters and keeps what is open
// at each.
class Sweep {
 public:
  Sweep(const OwnershipMap& map, const CheckReport& report);

  std::vector<Segment> Run();

 private:
  enum class Kind : uint8_t { kOwner, kMark, kFinding, kExact };
  struct Event {
    uint64_t cluster;
    bool begins;
    Kind kind;
    uint32_t index;
  };

  void Add(Kind kind, size_t index, uint64_t first, uint64_t clusters);
  void Take(const Event& event);
  // The segment from `first` to `end` with what is open; nothing if nothing is
  // known of it.
  void Emit(uint64_t first, uint64_t end, std::vector<Segment>& segments) const;

  const OwnershipMap& map_;
  std::vector<PlacedFinding> findings_;
  std::vector<Event> events_;
  // The owner that gives a segment its class first. There can be thousands.
  std::set<std::pair<ClusterClass, uint32_t>> open_owners_;
  std::set<uint32_t> open_findings_;
  OpenMarks open_marks_;
  uint64_t open_leaks_ = 0;
  uint64_t open_exact_ = 0;
};

Sweep::Sweep(const OwnershipMap& map, const CheckReport& report) : map_(map) {
  for (size_t i = 0; i < map.owned.size(); ++i) {
    Add(Kind::kOwner, i, map.owned[i].first_cluster, map.owned[i].clusters);
  }
  for (size_t i = 0; i < map.marks.size(); ++i) {
    Add(Kind::kMark, i, map.marks[i].first_cluster, map.marks[i].clusters);
  }
  for (size_t i = 0; i < map.exact.size(); ++i) {
    Add(Kind::kExact, i, map.exact[i].first_cluster, map.exact[i].clusters);
  }
  if (map.complete) Add(Kind::kExact, 0, 0, map.file_clusters);
  for (const std::vector<Finding>* list :
       {&report.problems, &report.warnings}) {
    for (const Finding& finding : *list) {
      const ClusterRun place = PlaceOf(finding, map);
      if (place.clusters == 0) continue;
      Add(Kind::kFinding, findings_.size(), place.first_cluster,
          place.clusters);
      findings_.push_back({place, finding.id, MarksOfFinding(finding)});
    }
  }
  std::sort(events_.begin(), events_.end(), [](const Event& a, const Event& b) {
    return std::tuple(a.cluster, a.begins, a.kind, a.index) <
           std::tuple(b.cluster, b.begins, b.kind, b.index);
  });
}

void Sweep::Add(Kind kind, size_t index, uint64_t first, uint64_t clusters) {
  const uint64_t end =
      first + std::min(clusters, map_.file_clusters -
                                     std::min(first, map_.file_clusters));
  if (end <= first) return;
  events_.push_back({first, true, kind, static_cast<uint32_t>(index)});
  events_.push_back({end, false, kind, static_cast<uint32_t>(index)});
}

void Sweep::Take(const Event& event) {
  const auto take = [&](auto& open, auto value) {
    if (event.begins) {
      open.insert(value);
    } else {
      open.erase(value);
    }
  };
  switch (event.kind) {
    case Kind::kOwner:
      take(open_owners_,
           std::pair(map_.owned[event.index].cluster_class, event.index));
      break;
    case Kind::kMark:
      open_marks_.Take(MarksOf(map_.marks[event.index].mark), event.begins);
      if (map_.marks[event.index].mark == ClusterMark::kLeaked) {
        open_leaks_ += event.begins ? 1 : -1;
      }
      break;
    case Kind::kFinding:
      open_marks_.Take(findings_[event.index].marks, event.begins);
      take(open_findings_, event.index);
      break;
    case Kind::kExact:
      open_exact_ += event.begins ? 1 : -1;
      break;
  }
}

std::vector<Segment> Sweep::Run() {
  std::vector<Segment> segments;
  for (size_t i = 0; i < events_.size(); ++i) {
    Take(events_[i]);
    if (i + 1 == events_.size()) break;
    if (events_[i + 1].cluster > events_[i].cluster) {
      Emit(events_[i].cluster, events_[i + 1].cluster, segments);
    }
  }
  return segments;
}

void Sweep::Emit(uint64_t first, uint64_t end,
                 std::vector<Segment>& segments) const {
  // Somebody may own it who is not listed.
  if (open_owners_.empty() && open_leaks_ == 0 && open_exact_ == 0) return;
  Segment segment;
  segment.first_cluster = first;
  segment.clusters = end - first;
  segment.marks = open_marks_.marks();
  for (const uint32_t index : open_findings_) {
    if (segment.findings.size() == Segment::kMaxFindings) break;
    segment.findings.push_back(findings_[index].id);
  }
  for (const auto& [cluster_class, index] : open_owners_) {
    if (segment.owners.size() == Segment::kMaxOwners) break;
    segment.owners.push_back(checker::Cut(
        map_.owned[index], first, segment.clusters, map_.cluster_size_bytes));
  }
  segment.more_owners = open_owners_.size() - segment.owners.size();
  if (!segment.owners.empty()) {
    segment.cluster_class = segment.owners[0].cluster_class;
  } else if (open_leaks_ > 0) {
    segment.cluster_class = ClusterClass::kLeaked;
  } else if ((segment.marks & kMarkUnknown) != 0 || !map_.counts_known ||
             map_.cut_short || map_.owners_omitted > 0) {
    segment.cluster_class = ClusterClass::kUnknown;
  }
  segments.push_back(std::move(segment));
}

}  // namespace

uint32_t MarksOfFinding(const Finding& finding) {
  if (finding.suspect_orphan) return kMarkSuspect;
  return checker::EndangersGuestData(finding.problem) ? uint32_t{kMarkDamaged}
                                                      : 0;
}

std::vector<Segment> CutIntoSegments(const OwnershipMap& map,
                                     const CheckReport& report) {
  return Sweep(map, report).Run();
}

}  // namespace qcow2::cli
