// Who owns which cluster of the file, in a form of bounded size however large
// the image is: what pictures are drawn from.
//
// Two layers say the same at two resolutions. Bins cut the file (and the guest
// disk) into at most kMaxBins stretches of one length and count the clusters of
// each class in them. Runs name owners; they are all of them if they are few
// enough, else those of metadata and those close to damage.
//
// Values only; filled by CheckImage when CheckOptions::ownership asks for it.
#ifndef CHECKER_OWNERSHIP_MAP_H_
#define CHECKER_OWNERSHIP_MAP_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checker/compare_pass.h"
#include "checker/finding.h"

namespace qcow2::checker {

// What a cluster of the file is used for. A cluster with several owners, which
// metadata is not among, is of the first of their classes.
enum class ClusterClass : uint8_t {
  kHeader,
  kRefcountTable,
  kRefcountBlock,
  kActiveL1,
  kSnapshotL1,
  kActiveL2,
  kSnapshotL2,
  kSnapshotTable,
  kBitmaps,
  kLuksHeader,
  kGuestData,       // of the active disk, perhaps of snapshots as well
  kSnapshotData,    // that only snapshots have
  kCompressedData,  // of either
  kVmState,
  kLeaked,   // counted, but nobody owns it
  kFree,     // neither owned nor counted
  kUnknown,  // no owner was found, and its count cannot be read or not all of
             // the image was looked at
};
inline constexpr size_t kClusterClasses = 17;
// "header", "refcount table", "data of snapshots only" ...
std::string_view NameOf(ClusterClass cluster_class);

// The class of what `owner` (one bit) owns; `active`: for an active table.
ClusterClass ClassOf(Owner owner, bool active);

// One owner's run of clusters.
struct OwnedRun {
  uint64_t first_cluster = 0;
  uint64_t clusters = 0;
  Owner owner = kOwnerHeader;
  ClusterClass cluster_class = ClusterClass::kHeader;
  // Of L1 and L2 tables and of data: whose, an index into disk_names.
  uint32_t disk = 0;
  // References it stands for: L1 entries that name the same L2 table.
  uint64_t references = 1;
  // Of an L2 table its L1 entry, of others which one of its kind.
  uint64_t index = 0;
  // Of data: where the guest, or the saved machine state, has it.
  uint64_t guest_offset_bytes = 0;
  uint64_t guest_length_bytes = 0;
};

// A run of clusters with something wrong.
enum class ClusterMark : uint8_t {
  kLeaked,
  kCountTooLow,  // fewer counted than refer to it: it may be overwritten
  kCountTooHigh,
  kCountUnknown,  // not to be read
  kOverlap,       // metadata and a second owner
};
struct MarkedRun {
  uint64_t first_cluster = 0;
  uint64_t clusters = 0;
  ClusterMark mark = ClusterMark::kLeaked;
};

// A stretch of the file: clusters by class, and damaged ones, which count in
// their classes, too.
struct FileBin {
  std::array<uint64_t, kClusterClasses> clusters = {};
  uint64_t count_too_low = 0;
  uint64_t overlapping = 0;
};

// A stretch of the active disk, in clusters.
struct GuestBin {
  uint64_t stored = 0;      // in the file, uncompressed
  uint64_t compressed = 0;  // in the file, compressed
};

// A range of a disk whose clusters are damaged. Saved machine state is none.
struct GuestHit {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  uint64_t host_cluster = 0;
  uint32_t disk = 0;  // index into disk_names
  // L1 entries that name the L2 table: the others are of snapshots with the
  // same data, or of other places of a damaged disk.
  uint64_t references = 1;
};

struct OwnershipMap {
  static constexpr uint64_t kMaxBins = 8192;
  // Of each of the lists of runs.
  static constexpr size_t kMaxRuns = 32768;

  uint64_t cluster_size_bytes = 0;  // 0: the image could not be looked at
  uint64_t file_clusters = 0;
  uint64_t file_size_bytes = 0;
  uint64_t guest_size_bytes = 0;
  bool external_data_file = false;
  bool counts_known = true;
  // The check was cancelled: much is missing.
  bool cut_short = false;

  // 0 is the active disk, then the snapshots that own anything listed.
  std::vector<std::string> disk_names;
  // Their places in the snapshot table; of the active disk there is none.
  std::vector<std::optional<uint64_t>> disk_snapshots;

  // All that is owned is in `owned`.
  bool complete = false;
  // Sorted by first cluster; two runs may overlap.
  std::vector<OwnedRun> owned;
  // Owners left out although they are in one of `exact`.
  uint64_t owners_omitted = 0;
  // Where `owned` and `marks` have everything, if they have not everywhere;
  // sorted, disjoint.
  std::vector<ClusterRun> exact;
  // There is more damage than could be exact.
  bool exact_omitted = false;
  // Whether those of metadata are in `owned` wherever they are.
  bool all_metadata = false;

  // Sorted by first cluster; overlaps may meet other marks.
  std::vector<MarkedRun> marks;
  uint64_t marks_omitted = 0;  // runs

  uint64_t bin_clusters = 1;
  std::vector<FileBin> bins;
  uint64_t guest_bin_clusters = 1;
  std::vector<GuestBin> guest_bins;

  std::vector<GuestHit> hits;
  uint64_t hits_omitted = 0;
};

}  // namespace qcow2::checker

#endif  // CHECKER_OWNERSHIP_MAP_H_
