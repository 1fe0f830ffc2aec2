// The check: reads an image's metadata, finds what is wrong, never writes.
//
// Entry point of checker/. Works on any file, also on images that the engine
// would refuse to open. Threads: uses up to `jobs` of its own, all joined
// before it returns.
#ifndef CHECKER_CHECK_H_
#define CHECKER_CHECK_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "checker/overlap_classes.h"
#include "checker/report.h"
#include "engine/storage/file.h"

namespace qcow2::checker {

struct Graph;
struct OwnershipMap;

// What the reference map may take unless told otherwise: enough for several TiB
// in 64 KiB clusters allocated in random order, and for most images many times
// what they need.
inline constexpr uint64_t kDefaultMemoryLimitBytes = uint64_t{64} << 20;

// How far the check has come, in bytes of metadata. `total_bytes` may grow
// while tables are discovered.
struct Progress {
  std::atomic<uint64_t> done_bytes{0};
  std::atomic<uint64_t> total_bytes{0};
};

// Opens a file the image names (backing or data file) for reading. `name` is
// as stored in the image, `base` the path of the image that names it. An error
// for which IsPolicyRefusal (named_file.h) leaves the file out of the check.
using OpenOtherFile = std::function<absl::StatusOr<std::unique_ptr<File>>(
    const std::string& name, const std::string& base)>;

struct CheckOptions {
  // Which overlaps are looked at; all of them by default.
  OverlapClasses overlap = OverlapClasses::All();
  // Also decode compressed clusters, LUKS digests, the whole backing chain.
  bool deep = false;
  // Count exactly what `qemu-img check` counts where the two differ in how an
  // unusable entry is followed (see docs/qemu-img.md).
  bool qemu_compatible = false;
  // Findings listed per report; the counts are always complete. 0: no limit.
  uint64_t max_problems = 1000;
  // Findings kept of each kind of problem while the check runs; 0: as many as
  // max_problems.
  uint64_t max_per_problem = 0;
  // Worker threads; 0: one per processor, at most 8.
  unsigned jobs = 0;
  // Bytes for the reference map, about; 0: no limit. When they do not suffice
  // the metadata is read several times.
  uint64_t memory_limit_bytes = kDefaultMemoryLimitBytes;
  // When set and true, the check ends within a second and says so.
  const std::atomic<bool>* cancel = nullptr;
  // Told how far the check has come, if set.
  Progress* progress = nullptr;
  // For data and backing files; when empty they are not looked for.
  OpenOtherFile open_other_file;
  // When set, filled with what the check learnt of the image's structure.
  Graph* graph = nullptr;
  // When set, filled with who owns what, for pictures. Takes a second reading
  // of the tables.
  OwnershipMap* ownership = nullptr;

  // Findings of each kind of problem that are kept; 0: no limit.
  uint64_t MaxPerProblem() const {
    return max_per_problem != 0 ? max_per_problem : max_problems;
  }
};

// Checks `file`, called `path` in the report. Never fails: what cannot be
// done is in the report's status and errors.
CheckReport CheckImage(const File& file, const std::string& path,
                       const CheckOptions& options);

}  // namespace qcow2::checker

#endif  // CHECKER_CHECK_H_
