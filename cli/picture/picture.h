// What is drawn of an image: the file cut into segments that are alike, and the
// guest's disk, with what is wrong where.
//
// Values, and how they come of a report; no I/O.
#ifndef CLI_PICTURE_PICTURE_H_
#define CLI_PICTURE_PICTURE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "checker/ownership_map.h"
#include "checker/report.h"
#include "cli/picture/guest_partitions.h"

namespace qcow2::cli {

// What is wrong with a segment, as bits.
enum SegmentMark : uint32_t {
  kMarkOverlap = 1 << 0,  // metadata and a second owner
  kMarkDamaged = 1 << 1,  // a corruption was found here
  kMarkSuspect = 1 << 2,  // leaked, may be what is left of guest data
  kMarkTooHigh = 1 << 3,  // a refcount that is too high
  kMarkUnknown = 1 << 4,  // its count could not be read
};
inline constexpr size_t kSegmentMarks = 5;
inline constexpr uint32_t kMarkBad = kMarkOverlap | kMarkDamaged;

// Consecutive clusters of the file that are alike and have the same owners.
struct Segment {
  // Of each; who is beyond is counted.
  static constexpr size_t kMaxOwners = 8;
  static constexpr size_t kMaxFindings = 8;

  uint64_t first_cluster = 0;
  uint64_t clusters = 0;
  checker::ClusterClass cluster_class = checker::ClusterClass::kFree;
  uint32_t marks = 0;  // set of SegmentMark
  // Cut to the segment, the one that gives the class first.
  std::vector<checker::OwnedRun> owners;
  uint64_t more_owners = 0;
  std::vector<uint32_t> findings;  // ids
};

// A stretch of the disk that is stored in the file in one piece.
struct GuestSegment {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  uint64_t first_cluster = 0;  // of the file
  bool compressed = false;
};

// A damaged range of a disk.
struct DamagedRange {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
};

// What is damaged of one snapshot.
struct SnapshotDamage {
  std::string name;
  uint64_t bytes = 0;
};

// A partition, or what belongs to none.
struct PartitionDamage {
  uint64_t bytes = 0;
  std::vector<DamagedRange> ranges;  // the first few
  bool more_ranges = false;
};

struct Picture {
  // Nothing could be drawn of the image; the rest is empty then.
  bool empty = true;

  uint64_t cluster_size_bytes = 0;
  uint64_t file_clusters = 0;
  uint64_t file_size_bytes = 0;
  std::vector<std::string> disk_names;  // as in OwnershipMap, but cut
  bool external_data_file = false;
  bool cut_short = false;
  bool counts_known = true;

  // Sorted, disjoint. They are the whole file if it is `complete`; else what is
  // between them is in `rest`.
  bool complete = false;
  std::vector<Segment> segments;
  // As in OwnershipMap.
  bool all_metadata = false;
  bool exact_omitted = false;
  uint64_t owners_omitted = 0;
  uint64_t marks_omitted = 0;
  uint64_t bin_clusters = 1;
  // By bin: what is there without the segments in it.
  std::vector<checker::FileBin> rest;

  // All clusters of the file by class; a cluster that two kinds of metadata own
  // counts twice.
  std::array<uint64_t, checker::kClusterClasses> totals = {};
  uint64_t overlapping_clusters = 0;
  uint64_t damaged_clusters = 0;

  uint64_t guest_size_bytes = 0;
  bool guest_complete = false;
  // Sorted, of the active disk.
  std::vector<GuestSegment> guest_segments;
  uint64_t guest_bin_bytes = 1;
  std::vector<checker::GuestBin> guest_bins;  // in clusters
  // Sorted, disjoint, of the active disk.
  std::vector<DamagedRange> damaged;
  // There is, or may be, more than was noted.
  bool damage_incomplete = false;
  // Those that have tables of their own for what is damaged.
  std::vector<SnapshotDamage> damaged_snapshots;
  // Most L1 entries besides the one above that name the same damaged table.
  uint64_t other_references = 0;

  GuestPartitions partitions;
  // By partition, and last of what is in none.
  std::vector<PartitionDamage> partition_damage;
};

// Puts together the picture of the image that `report` is about.
Picture MakePicture(const checker::OwnershipMap& map,
                    const checker::CheckReport& report,
                    GuestPartitions partitions);

// Clusters that hold so many bytes.
inline uint64_t ClustersFor(uint64_t bytes, uint64_t cluster_size) {
  return bytes / cluster_size + (bytes % cluster_size != 0 ? 1 : 0);
}

// Clusters of a stretch of the file by class, and what is wrong in it.
struct Composition {
  std::array<double, checker::kClusterClasses> clusters = {};
  uint32_t marks = 0;
};
// Of [first, end); exact where there are segments, else the share of the bins.
Composition CompositionOf(const Picture& picture, uint64_t first, uint64_t end);

// How much of a stretch of the disk this file stores, as shares of 1.
struct GuestShare {
  double stored = 0;  // uncompressed
  double compressed = 0;
};
// Of the bytes [first, end) of the disk.
GuestShare GuestShareOf(const Picture& picture, uint64_t first, uint64_t end);

// The segments that lie in [first, end), not cut, as indexes [.first, .second).
std::pair<size_t, size_t> SegmentsIn(const Picture& picture, uint64_t first,
                                     uint64_t end);

// "guest data: bytes 0-65535 of the disk", "refcount block 3", "active L2 table
// (L1 entry 5)"; safe to print.
std::string DescribeOwner(const Picture& picture,
                          const checker::OwnedRun& owner);

}  // namespace qcow2::cli

#endif  // CLI_PICTURE_PICTURE_H_
