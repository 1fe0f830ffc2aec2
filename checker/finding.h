// One thing that is wrong with an image, as data: what, where, whom it
// concerns. Printing is message.h and the printers in cli/.
//
// Pure values, no I/O.
#ifndef CHECKER_FINDING_H_
#define CHECKER_FINDING_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checker/problems.h"

namespace qcow2::checker {

// The structure a finding sits in.
enum class Structure {
  kFile,
  kHeader,
  kHeaderExtension,
  kActiveL1,
  kSnapshotL1,
  kActiveL2,
  kInactiveL2,
  kRefcountTable,
  kRefcountBlock,
  kHostCluster,  // of no particular structure: refcounts, leaks, overlaps
  kSnapshotTable,
  kBitmapDirectory,
  kBitmapTable,
  kBitmapData,
  kLuksHeader,
  kDataFile,
  kBackingFile,
};

// Who owns a host cluster: bits of an owner set.
enum Owner : uint32_t {
  kOwnerHeader = 1u << 0,
  kOwnerActiveL1 = 1u << 1,
  kOwnerInactiveL1 = 1u << 2,
  kOwnerActiveL2 = 1u << 3,
  kOwnerInactiveL2 = 1u << 4,
  kOwnerRefcountTable = 1u << 5,
  kOwnerRefcountBlock = 1u << 6,
  kOwnerSnapshotTable = 1u << 7,
  kOwnerBitmapDirectory = 1u << 8,
  kOwnerBitmapTable = 1u << 9,
  kOwnerBitmapData = 1u << 10,
  kOwnerLuksHeader = 1u << 11,
  kOwnerGuestData = 1u << 12,
  kOwnerCompressedData = 1u << 13,
  kOwnerVmState = 1u << 14,
};
inline constexpr int kOwnerCount = 15;
inline constexpr uint32_t kMetadataOwners = (1u << 12) - 1;
// "active L2", "guest data" ...; `owner` has one bit set.
std::string_view NameOfOwner(uint32_t owner);
// The names of all owners in `owners`, in bit order.
std::vector<std::string> OwnerNames(uint32_t owners);

// "active L2 table", "refcount block" ...
std::string_view NameOf(Structure structure);

// Host offsets and lengths are bytes, indexes entries of the table named.
struct Location {
  Structure structure = Structure::kFile;
  std::optional<uint64_t> table_offset;  // of the table the entry is in
  std::optional<uint64_t> index;         // of the (first) entry
  std::string field;                     // of a header or table entry
  std::string snapshot;                  // name (or ID) where one is concerned
};

// A run of host clusters; `clusters` may be 0 when none is concerned.
struct HostRun {
  uint64_t first_cluster = 0;
  uint64_t clusters = 0;
  uint64_t offset_bytes = 0;
};

// A range of the virtual disk (of `snapshot`, empty for the active disk).
struct GuestRange {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  std::string snapshot;
  bool vm_state = false;  // past the end of the disk: saved machine state
  // Which entry of the snapshot table that is: names need not be unique.
  std::optional<uint64_t> snapshot_index = std::nullopt;
};

// Guest ranges listed with one finding.
inline constexpr size_t kMaxGuestRanges = 8;

// A run of like findings: `count` entries or clusters from the first on.
struct Finding {
  uint32_t id = 0;  // from 1, in the order of the report
  Problem problem = Problem::kHeaderTruncated;
  uint64_t count = 1;
  Location location;
  std::optional<HostRun> host;
  std::vector<GuestRange> guest;
  uint64_t guest_ranges_omitted = 0;  // beyond those listed in `guest`
  uint32_t owners = 0;                // set of Owner
  std::optional<uint64_t> actual;     // of the first of the run
  std::optional<uint64_t> expected;
  std::string detail;
  // The id of the finding that explains this one; its own id if none does.
  uint32_t root_cause = 0;
  // Leaked clusters that may be what is left of guest data: do not free.
  bool suspect_orphan = false;
};

// Adds to the guest ranges of `finding`: in the order of snapshot and offset,
// touching ones joined, those beyond kMaxGuestRanges only counted.
void AddGuestRanges(const std::vector<GuestRange>& ranges, Finding& finding);

// The place in words: "active L2 table at 0x50000, entries 12-19",
// "host clusters 7-9 (offset 0x70000)".
std::string DescribeWhere(const Finding& finding);
// The row's message with everything filled in; one line, no full stop.
std::string DescribeFinding(const Finding& finding);

}  // namespace qcow2::checker

#endif  // CHECKER_FINDING_H_
