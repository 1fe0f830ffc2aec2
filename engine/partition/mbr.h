// The master boot record: the first sector of a disk, with up to four primary
// partitions.
//
// Pure values, no I/O.
#ifndef ENGINE_PARTITION_MBR_H_
#define ENGINE_PARTITION_MBR_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qcow2 {

inline constexpr uint64_t kPartitionSectorBytes = 512;
inline constexpr size_t kMbrEntries = 4;
inline constexpr size_t kMbrEntriesOffset = 446;
inline constexpr size_t kMbrEntryBytes = 16;
inline constexpr uint16_t kMbrSignature = 0xaa55;
inline constexpr uint8_t kMbrBootable = 0x80;

// Types of partitions that change how the disk is read.
inline constexpr uint8_t kMbrTypeEmpty = 0x00;
inline constexpr uint8_t kMbrTypeExtendedChs = 0x05;
inline constexpr uint8_t kMbrTypeExtendedLba = 0x0f;
inline constexpr uint8_t kMbrTypeExtendedLinux = 0x85;
// The whole disk, in a table that only tells old tools to keep away.
inline constexpr uint8_t kMbrTypeProtective = 0xee;

// Cylinder, head and sector, the old way to say where something is.
//
//   byte  bits  meaning
//   0     0-7   head
//   1     0-5   sector, from 1
//         6-7   bits 8 and 9 of the cylinder
//   2     0-7   bits 0 to 7 of the cylinder
struct ChsAddress {
  uint16_t cylinder = 0;  // up to 1023
  uint8_t head = 0;
  uint8_t sector = 0;  // up to 63

  static ChsAddress Decode(const std::byte* bytes);
  void Encode(std::byte* bytes) const;

  friend bool operator==(const ChsAddress&, const ChsAddress&) = default;
};

// What cylinders are made of.
struct DiskShape {
  uint32_t heads = 16;
  uint32_t sectors_per_track = 63;

  uint64_t sectors_per_cylinder() const {
    return uint64_t{heads} * sectors_per_track;
  }
  // The address of sector `lba`; the largest one there is (1023, 254, 63) for a
  // sector that has none.
  ChsAddress AddressOf(uint64_t lba) const;

  friend bool operator==(const DiskShape&, const DiskShape&) = default;
};

// The shape of a disk with that many sectors: 63 sectors a track, and of 16,
// 32, 64, 128 and 255 heads the fewest that need at most 1024 cylinders.
DiskShape ShapeFor(uint64_t disk_sectors);

// One entry:
//
//   bytes  field
//   0      status: 0x80 bootable, 0x00 not
//   1-3    first sector, as cylinder, head and sector
//   4      type; 0: the slot is free
//   5-7    last sector, the same way
//   8-11   first sector
//   12-15  number of sectors
struct MbrEntry {
  uint8_t status = 0;
  ChsAddress first_chs;
  uint8_t type = kMbrTypeEmpty;
  ChsAddress last_chs;
  uint32_t first_sector = 0;
  uint32_t sectors = 0;

  static MbrEntry Decode(const std::byte* bytes);
  void Encode(std::byte* bytes) const;

  bool used() const { return type != kMbrTypeEmpty; }
  bool bootable() const { return status == kMbrBootable; }
  bool extended() const {
    return type == kMbrTypeExtendedChs || type == kMbrTypeExtendedLba ||
           type == kMbrTypeExtendedLinux;
  }
  uint64_t end_sector() const { return uint64_t{first_sector} + sectors; }

  friend bool operator==(const MbrEntry&, const MbrEntry&) = default;
};

// The sector:
//
//   bytes    field
//   0-439    boot code, kept
//   440-443  disk signature
//   444-445  kept
//   446-509  four entries
//   510-511  0xaa55
struct Mbr {
  std::array<std::byte, kMbrEntriesOffset> front = {};  // bytes 0-445
  std::array<MbrEntry, kMbrEntries> entries;
  uint16_t signature = 0;

  // The record in the first 512 bytes of `sector`; missing bytes are zero.
  static Mbr Decode(std::span<const std::byte> sector);
  std::array<std::byte, kPartitionSectorBytes> Encode() const;

  bool valid() const { return signature == kMbrSignature; }
  // Whether its only purpose is to protect a GUID partition table.
  bool protective() const;

  friend bool operator==(const Mbr&, const Mbr&) = default;
};

// What to create.
struct NewPartition {
  uint8_t type = 0x07;
  uint64_t first_sector = 63;
  // 0: up to the end of the disk's last whole cylinder.
  uint64_t sectors = 0;
  bool bootable = false;
};

// Puts a primary partition into the first free slot of `mbr`, the record of a
// disk with that many sectors; a record without signature becomes valid, with
// its other bytes kept. Returns the slot.
//
// InvalidArgument for a type of 0 or that of a protective entry, or a length of
// 0; OutOfRange if the partition covers sector 0 or ends past the disk or past
// what 32 bits can say; AlreadyExists if it overlaps a partition;
// ResourceExhausted without a free slot; FailedPrecondition if the record
// protects a GUID partition table.
absl::StatusOr<size_t> AddPartition(const NewPartition& partition,
                                    uint64_t disk_sectors, Mbr& mbr);

}  // namespace qcow2

#endif  // ENGINE_PARTITION_MBR_H_
