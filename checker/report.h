// The model every output is printed from: what an image is, what was found in
// it and how much of it was read.
//
// Pure values, no I/O.
#ifndef CHECKER_REPORT_H_
#define CHECKER_REPORT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checker/finding.h"

namespace qcow2::checker {

enum class CheckStatus {
  kClean,
  kLeaks,         // leaks, nothing worse
  kCorrupt,       // at least one corruption
  kInconclusive,  // something could not be read or the check was cancelled
  kError,         // the image could not be checked at all
};
// "clean", "leaks", "corrupt", "inconclusive", "error".
std::string_view NameOf(CheckStatus status);

// What the header says of the image; filled as far as it could be read.
struct ImageSummary {
  std::string path;
  bool recognised = false;  // a qcow2 header was decoded
  uint32_t version = 0;
  uint64_t virtual_size_bytes = 0;
  uint64_t cluster_size_bytes = 0;
  uint32_t refcount_bits = 0;
  uint64_t file_size_bytes = 0;
  // First byte behind the last cluster in use or counted.
  uint64_t image_end_offset_bytes = 0;
  uint64_t snapshots = 0;
  uint64_t bitmaps = 0;
  std::string backing_file;
  std::string data_file;
  std::string encryption;             // "", "aes" or "luks"
  std::string compression_type;       // "deflate" or "zstd"
  std::vector<std::string> features;  // names of the feature bits set
};

// Guest clusters of the active disk, as `qemu-img check` counts them.
struct AllocationSummary {
  uint64_t total_clusters = 0;
  uint64_t allocated_clusters = 0;
  uint64_t fragmented_clusters = 0;
  uint64_t compressed_clusters = 0;
};

// Occurrences (entries or clusters), counted in full however many findings are
// listed.
struct Counts {
  uint64_t corruptions = 0;
  uint64_t leaks = 0;
  uint64_t warnings = 0;
  uint64_t notes = 0;
  uint64_t suspect_orphans = 0;  // clusters; also counted as leaks
  uint64_t unreadable_bytes = 0;
};

// What `qemu-img check` would count (see docs/qemu-img.md). `unseen` are
// corruptions it is silent about; they are not in `corruptions`.
struct QemuCounts {
  uint64_t corruptions = 0;
  uint64_t leaks = 0;
  uint64_t check_errors = 0;
  uint64_t unseen = 0;
  bool refused = false;  // it would not open the image
};

struct Statistics {
  uint64_t host_clusters = 0;   // of the file
  uint64_t metadata_bytes = 0;  // read
  uint64_t l2_tables = 0;       // distinct
  uint64_t refcount_blocks = 0;
  uint64_t passes = 0;  // over the metadata; more than 1 under a memory limit
  uint64_t map_memory_bytes = 0;   // peak of the reference map
  uint64_t peak_memory_bytes = 0;  // of the process
  double seconds = 0;
};

struct CheckReport {
  CheckStatus status = CheckStatus::kError;
  bool cancelled = false;
  ImageSummary image;
  AllocationSummary allocation;
  Counts counts;
  // Occurrences by problem, counted in full; empty if nothing was checked.
  std::vector<uint64_t> occurrences;
  QemuCounts qemu;
  // Corruptions, leaks and warnings-to-act-on first by id; notes apart.
  std::vector<Finding> problems;
  std::vector<Finding> warnings;  // severity warning and note
  uint64_t problems_omitted = 0;  // findings beyond --max-problems
  // What could not be read or done, in words.
  std::vector<std::string> errors;
  Statistics statistics;

  uint64_t OccurrencesOf(Problem problem) const {
    const size_t index = static_cast<size_t>(problem);
    return index < occurrences.size() ? occurrences[index] : 0;
  }
  bool Found(Problem problem) const { return OccurrencesOf(problem) > 0; }
  bool FoundAny(std::span<const Problem> any_of) const {
    return std::any_of(any_of.begin(), any_of.end(),
                       [this](Problem problem) { return Found(problem); });
  }
};

}  // namespace qcow2::checker

#endif  // CHECKER_REPORT_H_
