// The snapshot table: one entry of varying size for each internal snapshot.
//
// Pure, no I/O. The table's length is stored nowhere: it ends where the last
// entry ends.
#ifndef ENGINE_FORMAT_SNAPSHOT_TABLE_H_
#define ENGINE_FORMAT_SNAPSHOT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/format/geometry.h"
#include "engine/format/types.h"

namespace qcow2 {

inline constexpr uint64_t kSnapshotFixedSize = 40;
inline constexpr uint64_t kSnapshotAlignment = 8;
// Version 3 asks for the VM state size and the disk size, 8 bytes each.
inline constexpr uint64_t kSnapshotExtraSizeV3 = 16;
inline constexpr uint64_t kMaxSnapshotExtraBytes = 1024;

// One entry, which begins at a multiple of 8 from the table's start:
//
//   bytes  field
//   0-7    L1 table offset, cluster aligned
//   8-11   L1 entries
//   12-13  length of the id
//   14-15  length of the name
//   16-19  time taken, seconds since 1970
//   20-23  and nanoseconds
//   24-31  time the guest had run, nanoseconds
//   32-35  VM state size in bytes; 0 if there is no VM state
//   36-39  length of the extra data
//   40-    extra data: 0-7 VM state size, overrides bytes 32-35
//                      8-15 virtual disk size in bytes
//                      16-23 executed instructions (record and replay)
//                      24- unknown, kept
//          id, a unique string of no fixed form
//          name
//          padding to a multiple of 8
struct SnapshotEntry {
  HostOffset l1_table_offset;
  uint32_t l1_size = 0;
  uint32_t date_seconds = 0;
  uint32_t date_nanoseconds = 0;
  uint64_t vm_clock_nanoseconds = 0;
  // Bytes 32-35; what counts is vm_state_size().
  uint32_t vm_state_size_32 = 0;
  std::vector<std::byte> extra_data;
  std::string id;
  std::string name;

  // Bytes of each part that a cut-short input did not have, by the lengths in
  // the fixed part; all zero for a whole entry.
  uint64_t missing_fixed = 0;
  uint32_t missing_extra = 0;
  uint16_t missing_id = 0;
  uint16_t missing_name = 0;

  // The entry at the start of `bytes`. Total: missing bytes are zero in the
  // fixed part, and absent in the others. Keeps no more than there is, whatever
  // the lengths claim; given the fixed part alone it tells the entry's size.
  static SnapshotEntry Decode(std::span<const std::byte> bytes);
  // The entry's bytes, without padding; of a cut-short entry those that were
  // there.
  std::vector<std::byte> Encode() const;

  // Bytes of the whole entry without and with padding, missing ones included.
  uint64_t size_bytes() const;
  uint64_t padded_size_bytes() const;
  bool complete() const;
  uint64_t extra_data_size() const {
    return uint64_t{extra_data.size()} + missing_extra;
  }

  // The VM state's size in bytes: the extra data's where it has one.
  uint64_t vm_state_size() const;
  // The virtual disk's size in bytes at the time, if recorded.
  std::optional<uint64_t> disk_size() const;
  // Instructions executed until then, if recorded.
  std::optional<uint64_t> instruction_count() const;

  friend bool operator==(const SnapshotEntry&, const SnapshotEntry&) = default;
};

// An entry and where it begins, in bytes from the table's start.
struct LocatedSnapshot {
  uint64_t offset = 0;
  SnapshotEntry entry;
};

// The first `count` entries of a table that begins with `bytes`. Ends early
// with an incomplete entry, or before one of which nothing is there.
std::vector<LocatedSnapshot> DecodeSnapshotTable(
    std::span<const std::byte> bytes, uint64_t count);

// The bytes of a table with `entries`, each padded with zeros.
std::vector<std::byte> EncodeSnapshotTable(
    std::span<const SnapshotEntry> entries);

// What can be wrong with a snapshot's entry by itself, as bits of a mask.
enum SnapshotIssue : uint32_t {
  kSnapshotCutShort = 1 << 0,
  kSnapshotL1Unaligned = 1 << 1,
  kSnapshotL1TooLarge = 1 << 2,
  // Version 3, and less than 16 bytes of extra data.
  kSnapshotExtraTooShort = 1 << 3,
  kSnapshotExtraTooLong = 1 << 4,
  kSnapshotIdEmpty = 1 << 5,
};

// The issues of `entry` in an image of that version, 0 if there are none.
uint32_t SnapshotIssues(const SnapshotEntry& entry, const Geometry& geometry,
                        uint32_t version);

}  // namespace qcow2

#endif  // ENGINE_FORMAT_SNAPSHOT_TABLE_H_
