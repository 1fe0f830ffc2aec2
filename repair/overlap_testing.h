// What the tests of overlaps share: an image that has all kinds of structures,
// the step run alone, and what can be read before and after.
#ifndef REPAIR_OVERLAP_TESTING_H_
#define REPAIR_OVERLAP_TESTING_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "checker/report.h"
#include "checker/test_image.h"
#include "engine/storage/file.h"
#include "engine/storage/overlay_file.h"
#include "repair/plan.h"
#include "repair/testing.h"

namespace qcow2::repair {

// Where FullImage has its structures, in clusters; the others are where
// TestImage has them.
inline constexpr uint64_t kSnapshotTable = 8;
inline constexpr uint64_t kSnapshotL1 = 9;
inline constexpr uint64_t kSnapshotL2 = 10;
inline constexpr uint64_t kSnapshotData = 11;
inline constexpr uint64_t kBitmapDirectory = 12;
inline constexpr uint64_t kBitmapTable = 13;
inline constexpr uint64_t kBitmapData = 14;
inline constexpr uint64_t kLuksHeader = 15;
inline constexpr uint64_t kUsedClusters = 16;
inline constexpr uint64_t kClusters = 32;

inline constexpr uint64_t kClusterSize = 4096;
inline constexpr uint64_t kExtensionsBegin = 112;

// TestImage with a snapshot, a bitmap and, if asked for, a LUKS header. All
// clusters of data and of what is never looked into hold bytes of their own.
class FullImage : public checker::TestImage {
 public:
  explicit FullImage(bool luks = false);

  // A snapshot for each L1 table at one of `l1_clusters`; the first is made,
  // naming kSnapshotL2.
  void AddSnapshots(const std::vector<uint64_t>& l1_clusters);

  void Clear(uint64_t cluster) { Fill(cluster, 0); }

 private:
  // Bytes that occur nowhere else; as words, offsets past the end of the file.
  void Mark(uint64_t cluster);
  void AddBitmap();
  void AddLuks();
};

// How many clusters of data can be read of `file`: guest clusters of every disk
// and bitmap data.
size_t ReadableClusters(const File& file);

// Expects that all that could be read of `image` reads the same in `view`.
void ExpectReadsTheSame(const File& image, const File& view);

// Whether a cluster has two owners that exclude each other, or an L2 table is
// named twice.
bool HasOverlap(const checker::CheckReport& report);

// The step alone, run until it changes nothing more.
struct StepRun {
  explicit StepRun(const File& image);

  std::unique_ptr<OverlayFile> view;
  checker::CheckReport before;
  checker::CheckReport after;
  Plan plan;
  // Those in which something was changed.
  int rounds = 0;
};

// The owners are separated, nothing reads differently, and another plan finds
// nothing more to do.
void ExpectSeparated(const File& image, const Planned& planned);
void ExpectSeparatedAndClean(const File& image, const Planned& planned);

}  // namespace qcow2::repair

#endif  // REPAIR_OVERLAP_TESTING_H_
