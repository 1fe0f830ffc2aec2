#include "cli/picture/file_segments.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "checker/problems.h"

namespace qcow2::cli {

using checker::CheckReport;
using checker::ClusterClass;
using checker::ClusterMark;
using checker::ClusterRun;
using checker::Finding;
using checker::OwnedRun;
using checker::OwnershipMap;
using checker::Severity;
using checker::Structure;

namespace {

// Owners followed at the same time; Segment::kMaxOwners of them are shown.
constexpr size_t kMaxOpen = 64;

bool IsData(const OwnedRun& run) {
  return (run.owner & checker::kMetadataOwners) == 0;
}

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
  OwnedRun Cut(OwnedRun run, uint64_t first, uint64_t clusters) const;

  const OwnershipMap& map_;
  std::vector<PlacedFinding> findings_;
  std::vector<Event> events_;
  std::vector<uint32_t> open_owners_;
  uint64_t open_owner_count_ = 0;
  std::vector<uint32_t> open_marks_;
  std::vector<uint32_t> open_findings_;
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
  const auto take = [&](std::vector<uint32_t>& open) {
    if (!event.begins) {
      std::erase(open, event.index);
    } else if (open.size() < kMaxOpen) {
      open.push_back(event.index);
    }
  };
  switch (event.kind) {
    case Kind::kOwner:
      open_owner_count_ += event.begins ? 1 : -1;
      take(open_owners_);
      break;
    case Kind::kMark:
      take(open_marks_);
      break;
    case Kind::kFinding:
      take(open_findings_);
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
  Segment segment;
  segment.first_cluster = first;
  segment.clusters = end - first;
  bool leaked = false;
  for (const uint32_t index : open_marks_) {
    leaked |= map_.marks[index].mark == ClusterMark::kLeaked;
    segment.marks |= MarksOf(map_.marks[index].mark);
  }
  for (const uint32_t index : open_findings_) {
    segment.marks |= findings_[index].marks;
    if (segment.findings.size() < Segment::kMaxFindings) {
      segment.findings.push_back(findings_[index].id);
    }
  }
  // Somebody may own it who is not listed.
  if (open_owners_.empty() && !leaked && open_exact_ == 0) return;
  std::vector<OwnedRun> owners;
  for (const uint32_t index : open_owners_) owners.push_back(map_.owned[index]);
  std::stable_sort(owners.begin(), owners.end(),
                   [](const OwnedRun& a, const OwnedRun& b) {
                     return a.cluster_class < b.cluster_class;
                   });
  const size_t shown = std::min(owners.size(), Segment::kMaxOwners);
  segment.more_owners = open_owner_count_ - shown;
  owners.resize(shown);
  for (OwnedRun& owner : owners) owner = Cut(owner, first, segment.clusters);
  if (!owners.empty()) {
    segment.cluster_class = owners[0].cluster_class;
  } else if (leaked) {
    segment.cluster_class = ClusterClass::kLeaked;
  } else if ((segment.marks & kMarkUnknown) != 0 || !map_.counts_known ||
             map_.owners_omitted > 0) {
    segment.cluster_class = ClusterClass::kUnknown;
  }
  segment.owners = std::move(owners);
  segments.push_back(std::move(segment));
}

OwnedRun Sweep::Cut(OwnedRun run, uint64_t first, uint64_t clusters) const {
  if (IsData(run) && run.owner != checker::kOwnerCompressedData) {
    const uint64_t skipped =
        std::min((first - run.first_cluster) * map_.cluster_size_bytes,
                 run.guest_length_bytes);
    run.guest_offset_bytes += skipped;
    run.guest_length_bytes = std::min(run.guest_length_bytes - skipped,
                                      clusters * map_.cluster_size_bytes);
  }
  run.first_cluster = first;
  run.clusters = clusters;
  return run;
}

}  // namespace

uint32_t MarksOfFinding(const Finding& finding) {
  if (finding.suspect_orphan) return kMarkSuspect;
  return checker::RowOf(finding.problem).severity == Severity::kCorruption
             ? uint32_t{kMarkDamaged}
             : 0;
}

std::vector<Segment> CutIntoSegments(const OwnershipMap& map,
                                     const CheckReport& report) {
  return Sweep(map, report).Run();
}

}  // namespace qcow2::cli
