#include "cli/picture/picture.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "checker/ownership_runs.h"
#include "checker/printable.h"
#include "checker/problems.h"
#include "cli/picture/file_segments.h"
#include "cli/picture/markup.h"
#include "cli/units.h"

namespace qcow2::cli {
namespace {

using checker::CheckReport;
using checker::CheckStatus;
using checker::FileBin;
using checker::Finding;
using checker::OwnedRun;
using checker::OwnershipMap;
using checker::Severity;

// Ranges of a partition that are listed.
constexpr size_t kMaxPartitionRanges = 8;
// Names are what makes a page large if they are long, and there are many.
constexpr size_t kManyDisks = 4096;
constexpr size_t kMaxNameBytes = 200;
constexpr size_t kMaxNameBytesOfMany = 40;

void FillBins(const OwnershipMap& map, Picture& picture) {
  picture.bin_clusters = map.bin_clusters;
  for (const FileBin& bin : map.bins) {
    picture.overlapping_clusters += bin.overlapping;
    for (size_t i = 0; i < checker::kClusterClasses; ++i) {
      picture.totals[i] += bin.clusters[i];
    }
  }
  if (picture.complete) {
    picture.totals = {};
    for (const Segment& segment : picture.segments) {
      picture.totals[static_cast<size_t>(segment.cluster_class)] +=
          segment.clusters;
    }
    return;
  }
  picture.rest = map.bins;
  for (const Segment& segment : picture.segments) {
    const auto index = static_cast<size_t>(segment.cluster_class);
    checker::ForEachBin(
        picture.rest, map.bin_clusters, segment.first_cluster, segment.clusters,
        [&](FileBin& rest, uint64_t count) {
          rest.clusters[index] -= std::min(rest.clusters[index], count);
          if ((segment.marks & kMarkOverlap) != 0) {
            rest.overlapping -= std::min(rest.overlapping, count);
          }
          if ((segment.marks & kMarkDamaged) != 0) {
            rest.count_too_low -= std::min(rest.count_too_low, count);
          }
        });
  }
}

void FillGuest(const OwnershipMap& map, Picture& picture) {
  // No file can be addressed further than that.
  constexpr uint64_t kMaxOffset = ~uint64_t{0} >> 1;
  picture.guest_size_bytes = std::min(map.guest_size_bytes, kMaxOffset);
  picture.guest_complete = map.complete;
  picture.guest_bin_bytes = map.guest_bin_clusters * map.cluster_size_bytes;
  picture.guest_bins = map.guest_bins;
  for (const OwnedRun& run : map.owned) {
    if (!checker::IsData(run) || run.disk != 0 ||
        run.owner == checker::kOwnerVmState || run.guest_length_bytes == 0) {
      continue;
    }
    picture.guest_segments.push_back(
        {run.guest_offset_bytes, run.guest_length_bytes, run.first_cluster,
         run.owner == checker::kOwnerCompressedData});
  }
  std::sort(picture.guest_segments.begin(), picture.guest_segments.end(),
            [](const GuestSegment& a, const GuestSegment& b) {
              return std::tuple(a.offset_bytes, a.first_cluster) <
                     std::tuple(b.offset_bytes, b.first_cluster);
            });
}

// Sorted and disjoint.
void Join(std::vector<DamagedRange>& ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const DamagedRange& a, const DamagedRange& b) {
              return a.offset_bytes < b.offset_bytes;
            });
  std::vector<DamagedRange> joined;
  for (const DamagedRange& range : ranges) {
    if (range.length_bytes == 0) continue;
    if (joined.empty() ||
        joined.back().offset_bytes + joined.back().length_bytes <
            range.offset_bytes) {
      joined.push_back(range);
      continue;
    }
    DamagedRange& last = joined.back();
    last.length_bytes = std::max(last.offset_bytes + last.length_bytes,
                                 range.offset_bytes + range.length_bytes) -
                        last.offset_bytes;
  }
  ranges = std::move(joined);
}

uint64_t BytesOf(const std::vector<DamagedRange>& ranges) {
  uint64_t bytes = 0;
  for (const DamagedRange& range : ranges) bytes += range.length_bytes;
  return bytes;
}

// What is damaged of one disk.
struct DiskDamage {
  std::string name;
  std::vector<DamagedRange> ranges;
};

// By the disk's place in the snapshot table, the active one first.
using DamageByDisk = std::map<std::optional<uint64_t>, DiskDamage>;

// Of the clusters with something wrong.
void AddHits(const OwnershipMap& map, DamageByDisk& damage) {
  for (const checker::GuestHit& hit : map.hits) {
    DiskDamage& disk = damage[map.disk_snapshots[hit.disk]];
    disk.name = map.disk_names[hit.disk];
    disk.ranges.push_back({hit.offset_bytes, hit.length_bytes});
  }
}

// Of the findings that are listed; false if they do not tell all.
bool AddFindings(const CheckReport& report, DamageByDisk& damage) {
  bool complete = true;
  uint64_t corruptions = 0;  // listed
  for (const Finding& finding : report.problems) {
    if (checker::RowOf(finding.problem).severity == Severity::kCorruption) {
      corruptions += finding.count;
    }
    if ((MarksOfFinding(finding) & kMarkDamaged) == 0) continue;
    complete &= finding.guest_ranges_omitted == 0;
    for (const checker::GuestRange& range : finding.guest) {
      if (range.vm_state) continue;
      DiskDamage& disk = damage[range.snapshot_index];
      disk.name = range.snapshot;
      disk.ranges.push_back({range.offset_bytes, range.length_bytes});
    }
  }
  return complete && corruptions >= report.counts.corruptions;
}

void AddRange(const DamagedRange& range, PartitionDamage& damage) {
  damage.bytes += range.length_bytes;
  if (damage.ranges.size() < kMaxPartitionRanges) {
    damage.ranges.push_back(range);
  } else {
    damage.more_ranges = true;
  }
}

// Calls `visit(range)` for what is damaged of [offset, offset + length).
template <typename Visit>
void ForEachDamaged(const std::vector<DamagedRange>& damaged, uint64_t offset,
                    uint64_t length, Visit visit) {
  const uint64_t end = offset + length;
  for (const DamagedRange& range : damaged) {
    const uint64_t first = std::max(range.offset_bytes, offset);
    const uint64_t last =
        std::min(range.offset_bytes + range.length_bytes, end);
    if (first < last) visit(DamagedRange{first, last - first});
  }
}

PartitionDamage DamageIn(const std::vector<DamagedRange>& damaged,
                         const GuestPartition& partition) {
  PartitionDamage damage;
  ForEachDamaged(damaged, partition.offset_bytes, partition.length_bytes,
                 [&](const DamagedRange& part) { AddRange(part, damage); });
  return damage;
}

// What is between the partitions, behind and before them.
PartitionDamage DamageOutside(const Picture& picture) {
  std::vector<DamagedRange> taken;
  for (const GuestPartition& partition : picture.partitions.partitions) {
    taken.push_back({partition.offset_bytes, partition.length_bytes});
  }
  taken.push_back({picture.guest_size_bytes, 1});
  Join(taken);
  PartitionDamage outside;
  uint64_t next = 0;
  for (const DamagedRange& range : taken) {
    if (range.offset_bytes > next) {
      ForEachDamaged(
          picture.damaged, next, range.offset_bytes - next,
          [&](const DamagedRange& part) { AddRange(part, outside); });
    }
    next = std::max(next, range.offset_bytes + range.length_bytes);
  }
  return outside;
}

void FillDamage(const OwnershipMap& map, const CheckReport& report,
                Picture& picture) {
  DamageByDisk damage;
  AddHits(map, damage);
  picture.damage_incomplete = !AddFindings(report, damage) ||
                              map.hits_omitted > 0 || picture.cut_short ||
                              report.status == CheckStatus::kError ||
                              report.status == CheckStatus::kInconclusive;
  for (auto& [snapshot, disk] : damage) {
    Join(disk.ranges);
    if (!snapshot.has_value()) {
      picture.damaged = std::move(disk.ranges);
    } else if (!disk.ranges.empty()) {
      picture.damaged_snapshots.push_back({disk.name, BytesOf(disk.ranges)});
    }
  }
  for (const checker::GuestHit& hit : map.hits) {
    picture.other_references =
        std::max(picture.other_references, hit.references - 1);
  }
  for (const GuestPartition& partition : picture.partitions.partitions) {
    picture.partition_damage.push_back(DamageIn(picture.damaged, partition));
  }
  picture.partition_damage.push_back(DamageOutside(picture));
  for (const Segment& segment : picture.segments) {
    if ((segment.marks & kMarkBad) != 0) {
      picture.damaged_clusters += segment.clusters;
    }
  }
  for (const FileBin& bin : picture.rest) {
    picture.damaged_clusters += std::max(bin.count_too_low, bin.overlapping);
  }
}

}  // namespace

Picture MakePicture(const OwnershipMap& map, const CheckReport& report,
                    GuestPartitions partitions) {
  Picture picture;
  picture.partitions = std::move(partitions);
  if (map.cluster_size_bytes == 0) return picture;
  picture.empty = false;
  picture.cluster_size_bytes = map.cluster_size_bytes;
  picture.file_clusters = map.file_clusters;
  picture.file_size_bytes = map.file_size_bytes;
  const size_t longest =
      map.disk_names.size() <= kManyDisks ? kMaxNameBytes : kMaxNameBytesOfMany;
  for (const std::string& name : map.disk_names) {
    picture.disk_names.push_back(CutText(name, longest));
  }
  picture.external_data_file = map.external_data_file;
  picture.cut_short = map.cut_short || report.cancelled;
  picture.counts_known = map.counts_known;
  picture.complete = map.complete;
  picture.all_metadata = map.all_metadata;
  picture.exact_omitted = map.exact_omitted;
  picture.owners_omitted = map.owners_omitted;
  picture.marks_omitted = map.marks_omitted;
  picture.segments = CutIntoSegments(map, report);
  FillBins(map, picture);
  FillGuest(map, picture);
  FillDamage(map, report, picture);
  return picture;
}

std::pair<size_t, size_t> SegmentsIn(const Picture& picture, uint64_t first,
                                     uint64_t end) {
  const auto begin = std::partition_point(
      picture.segments.begin(), picture.segments.end(),
      [&](const Segment& segment) {
        return segment.first_cluster + segment.clusters <= first;
      });
  const auto stop = std::partition_point(
      begin, picture.segments.end(),
      [&](const Segment& segment) { return segment.first_cluster < end; });
  return {static_cast<size_t>(begin - picture.segments.begin()),
          static_cast<size_t>(stop - picture.segments.begin())};
}

Composition CompositionOf(const Picture& picture, uint64_t first,
                          uint64_t end) {
  Composition composition;
  const auto [begin, stop] = SegmentsIn(picture, first, end);
  const uint64_t first_bin = first / picture.bin_clusters;
  // What no segment tells, by bin.
  std::vector<uint64_t> unknown;
  for (uint64_t bin = first_bin;
       bin < picture.rest.size() && bin * picture.bin_clusters < end; ++bin) {
    const uint64_t bin_first = bin * picture.bin_clusters;
    unknown.push_back(std::min(end, bin_first + picture.bin_clusters) -
                      std::max(first, bin_first));
  }
  for (size_t i = begin; i < stop; ++i) {
    const Segment& segment = picture.segments[i];
    const uint64_t from = std::max(first, segment.first_cluster);
    const uint64_t count =
        std::min(end, segment.first_cluster + segment.clusters) - from;
    composition.clusters[static_cast<size_t>(segment.cluster_class)] +=
        static_cast<double>(count);
    composition.marks |= segment.marks;
    checker::ForEachBin(
        unknown, picture.bin_clusters, from - first_bin * picture.bin_clusters,
        count, [](uint64_t& bin, uint64_t clusters) { bin -= clusters; });
  }
  for (size_t i = 0; i < unknown.size(); ++i) {
    const FileBin& rest = picture.rest[first_bin + i];
    uint64_t all = 0;
    for (const uint64_t clusters : rest.clusters) all += clusters;
    if (unknown[i] == 0 || all == 0) continue;
    const double share =
        static_cast<double>(unknown[i]) / static_cast<double>(all);
    for (size_t c = 0; c < rest.clusters.size(); ++c) {
      composition.clusters[c] += static_cast<double>(rest.clusters[c]) * share;
    }
    if (rest.overlapping > 0) composition.marks |= kMarkOverlap;
    if (rest.count_too_low > 0) composition.marks |= kMarkDamaged;
  }
  return composition;
}

GuestShare GuestShareOf(const Picture& picture, uint64_t first, uint64_t end) {
  GuestShare share;
  const auto length = static_cast<double>(end - first);
  if (picture.guest_complete) {
    // Segments of a disk overlap only where it is damaged.
    const auto begin = std::partition_point(
        picture.guest_segments.begin(), picture.guest_segments.end(),
        [&](const GuestSegment& segment) {
          return segment.offset_bytes + segment.length_bytes <= first;
        });
    for (auto it = begin;
         it != picture.guest_segments.end() && it->offset_bytes < end; ++it) {
      const uint64_t last = std::min(end, it->offset_bytes + it->length_bytes);
      const uint64_t from = std::max(first, it->offset_bytes);
      if (last <= from) continue;
      (it->compressed ? share.compressed : share.stored) +=
          static_cast<double>(last - from) / length;
    }
    return share;
  }
  for (uint64_t bin = first / picture.guest_bin_bytes;
       bin <= (end - 1) / picture.guest_bin_bytes &&
       bin < picture.guest_bins.size();
       ++bin) {
    const uint64_t bin_first = bin * picture.guest_bin_bytes;
    const double part =
        static_cast<double>(std::min(end, bin_first + picture.guest_bin_bytes) -
                            std::max(first, bin_first)) /
        length;
    const checker::GuestBin& counts = picture.guest_bins[bin];
    const uint64_t bytes =
        std::min(picture.guest_bin_bytes, picture.guest_size_bytes - bin_first);
    const auto clusters =
        static_cast<double>(ClustersFor(bytes, picture.cluster_size_bytes));
    share.stored += part * static_cast<double>(counts.stored) / clusters;
    share.compressed +=
        part * static_cast<double>(counts.compressed) / clusters;
  }
  return share;
}

std::string DescribeOwner(const Picture& picture, const OwnedRun& owner) {
  const std::string of_disk =
      owner.disk == 0
          ? std::string()
          : absl::StrCat(" of snapshot '",
                         checker::Printable(picture.disk_names[owner.disk]),
                         "'");
  const std::string name(checker::NameOfOwner(owner.owner));
  std::string more;
  if (owner.references > 1) {
    more = absl::StrFormat(" (shared, %u references)", owner.references);
  }
  switch (owner.owner) {
    case checker::kOwnerActiveL2:
    case checker::kOwnerInactiveL2:
      return absl::StrFormat("%s (L1 entry %u)%s%s", name, owner.index, of_disk,
                             more);
    case checker::kOwnerRefcountBlock:
    case checker::kOwnerBitmapTable:
    case checker::kOwnerBitmapData:
      return absl::StrFormat("%s %u", name, owner.index);
    case checker::kOwnerGuestData:
    case checker::kOwnerCompressedData:
    case checker::kOwnerVmState:
      return absl::StrFormat(
          "%s%s%s: %s at 0x%x%s", name, of_disk, more,
          HumanBytes(owner.guest_length_bytes), owner.guest_offset_bytes,
          owner.owner == checker::kOwnerVmState ? "" : " of the disk");
    default:
      return name + of_disk;
  }
}

}  // namespace qcow2::cli
