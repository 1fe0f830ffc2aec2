// The GUID partition table: a header and an array of entries, both twice on the
// disk.
//
// Pure values, no I/O.
#ifndef ENGINE_PARTITION_GPT_H_
#define ENGINE_PARTITION_GPT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace qcow2 {

inline constexpr uint64_t kGptHeaderBytes = 92;
inline constexpr uint64_t kGptEntryBytes = 128;
// Arrays longer than this are not read; tables in use have 16 KiB.
inline constexpr uint64_t kMaxGptArrayBytes = uint64_t{1} << 20;

// 16 bytes; people read the first three groups as little-endian numbers.
struct Guid {
  std::array<std::byte, 16> bytes = {};

  bool empty() const { return *this == Guid(); }
  // "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7".
  std::string Text() const;

  friend bool operator==(const Guid&, const Guid&) = default;
};

// The header, at sector 1 and at the disk's last sector:
//
//   bytes  field
//   0-7    "EFI PART"
//   8-11   revision, 0x00010000
//   12-15  bytes of the header
//   16-19  CRC-32 of the header, with these four bytes zero
//   20-23  zero
//   24-31  sector of this header
//   32-39  sector of the other one
//   40-47  first sector for partitions
//   48-55  last sector for partitions
//   56-71  GUID of the disk
//   72-79  first sector of the array of entries
//   80-83  entries
//   84-87  bytes of an entry, 128 times a power of 2
//   88-91  CRC-32 of the array
struct GptHeader {
  std::array<std::byte, 8> signature = {};
  uint32_t revision = 0x00010000;
  uint32_t header_bytes = kGptHeaderBytes;
  uint32_t header_crc = 0;
  uint32_t reserved = 0;
  uint64_t own_sector = 0;
  uint64_t other_sector = 0;
  uint64_t first_usable_sector = 0;
  uint64_t last_usable_sector = 0;
  Guid disk_guid;
  uint64_t array_sector = 0;
  uint32_t entries = 0;
  uint32_t entry_bytes = kGptEntryBytes;
  uint32_t array_crc = 0;

  // The header at the start of `sector`; missing bytes are zero.
  static GptHeader Decode(std::span<const std::byte> sector);
  std::array<std::byte, kGptHeaderBytes> Encode() const;

  uint64_t array_bytes() const { return uint64_t{entries} * entry_bytes; }

  friend bool operator==(const GptHeader&, const GptHeader&) = default;
};

std::array<std::byte, 8> GptSignature();

// What can be wrong with a header, as bits of a mask.
enum GptIssue : uint32_t {
  kGptBadSignature = 1 << 0,
  kGptBadHeaderSize = 1 << 1,
  kGptBadHeaderCrc = 1 << 2,
  kGptBadOwnSector = 1 << 3,
  kGptBadEntrySize = 1 << 4,
  kGptArrayTooLarge = 1 << 5,
  kGptBadArrayCrc = 1 << 6,
  kGptArrayOutside = 1 << 7,
};

// The issues of the header that `sector` begins with, read from disk sector
// `own_sector`; 0 if none. Those of the array are not judged.
uint32_t GptHeaderIssues(std::span<const std::byte> sector,
                         uint64_t own_sector);

// The CRC-32 that the header in `sector` should have.
uint32_t GptHeaderCrc(std::span<const std::byte> sector);
uint32_t GptArrayCrc(std::span<const std::byte> array);

// One entry:
//
//   bytes   field
//   0-15    GUID of the type; all zero: unused
//   16-31   GUID of the partition
//   32-39   first sector
//   40-47   last sector
//   48-55   attributes
//   56-127  name, UTF-16, little-endian
struct GptEntry {
  Guid type;
  Guid guid;
  uint64_t first_sector = 0;
  uint64_t last_sector = 0;
  uint64_t attributes = 0;
  std::array<std::byte, 72> padded_name = {};

  // The entry in the first 128 bytes of `bytes`; missing bytes are zero.
  static GptEntry Decode(std::span<const std::byte> bytes);
  std::array<std::byte, kGptEntryBytes> Encode() const;

  bool used() const { return !type.empty(); }
  // As UTF-8, up to the first zero; what is no character becomes U+FFFD.
  std::string name() const;

  friend bool operator==(const GptEntry&, const GptEntry&) = default;
};

}  // namespace qcow2

#endif  // ENGINE_PARTITION_GPT_H_
