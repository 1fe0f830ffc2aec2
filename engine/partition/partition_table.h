// The partition table of a disk: found, read as far as it makes sense, and
// given new primary partitions.
#ifndef ENGINE_PARTITION_PARTITION_TABLE_H_
#define ENGINE_PARTITION_PARTITION_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/image/guest_disk.h"
#include "engine/partition/gpt.h"
#include "engine/partition/mbr.h"

namespace qcow2 {

enum class PartitionTableKind { kNone, kMbr, kGpt };

// A partition, by whichever table.
struct Partition {
  uint32_t number = 0;  // as systems count: logical ones from 5 on
  uint64_t first_sector = 0;
  uint64_t sectors = 0;
  // Of a master boot record, and of the logical partitions behind it.
  MbrEntry mbr;
  bool logical = false;
  // Of a GUID partition table.
  GptEntry gpt;
};

struct PartitionTable {
  PartitionTableKind kind = PartitionTableKind::kNone;
  uint64_t disk_sectors = 0;
  std::vector<Partition> partitions;
  // Of a GUID partition table: the header that was used, and whether it is the
  // one at the end of the disk because the first one is damaged.
  GptHeader gpt_header;
  bool from_backup = false;
  // What is wrong with the table, in words.
  std::vector<std::string> problems;
};

// No more logical partitions than this are followed.
inline constexpr uint32_t kMaxLogicalPartitions = 128;

// Reads the table of `disk`. Damage is told in `problems`; errors are those of
// reading.
absl::StatusOr<PartitionTable> ReadPartitionTable(GuestDisk& disk);

// Writes a new primary partition into the master boot record of `disk`, which
// gets one if it has none. Changes sector 0 only; nothing is flushed. Returns
// the entry's slot, from 0. Errors are those of AddPartition, reading and
// writing.
absl::StatusOr<size_t> CreatePartition(GuestDisk& disk,
                                       const NewPartition& partition);

// What a type of a master boot record stands for; empty if unknown.
std::string_view NameOfMbrType(uint8_t type);
// The same for a GUID.
std::string_view NameOfGptType(const Guid& type);

}  // namespace qcow2

#endif  // ENGINE_PARTITION_PARTITION_TABLE_H_
