#include "engine/partition/mbr.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "engine/little_endian.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

constexpr uint64_t kMaxCylinders = 1024;
constexpr ChsAddress kBeyondAddress = {1023, 254, 63};

absl::Status CheckType(uint8_t type) {
  if (type != kMbrTypeEmpty && type != kMbrTypeProtective) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a primary partition cannot have type 0x",
                   absl::Hex(type, absl::kZeroPad2)));
}

absl::Status CheckPlace(uint64_t first, uint64_t sectors,
                        uint64_t disk_sectors) {
  if (first == 0) {
    return absl::OutOfRangeError("sector 0 holds the partition table itself");
  }
  constexpr uint64_t kMaxSector = std::numeric_limits<uint32_t>::max();
  if (first >= disk_sectors || sectors > disk_sectors - first) {
    return absl::OutOfRangeError(absl::StrCat(
        "a partition of ", sectors, " sectors from sector ", first,
        " ends past the end of the disk (", disk_sectors, " sectors)"));
  }
  if (first > kMaxSector || sectors > kMaxSector) {
    return absl::OutOfRangeError(
        "a master boot record counts sectors with 32 bits");
  }
  if (sectors > 0) return absl::OkStatus();
  return absl::InvalidArgumentError("a partition needs at least one sector");
}

absl::Status CheckFree(const Mbr& mbr, uint64_t first, uint64_t sectors) {
  for (size_t i = 0; i < kMbrEntries; ++i) {
    const MbrEntry& entry = mbr.entries[i];
    if (!entry.used() || entry.first_sector >= first + sectors ||
        first >= entry.end_sector()) {
      continue;
    }
    return absl::AlreadyExistsError(absl::StrCat(
        "sectors ", first, " to ", first + sectors - 1, " overlap partition ",
        i + 1, " (", entry.first_sector, " to ", entry.end_sector() - 1, ")"));
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> FreeSlot(const Mbr& mbr) {
  for (size_t i = 0; i < kMbrEntries; ++i) {
    // A slot that only lost its type is not taken for free.
    if (mbr.entries[i] == MbrEntry()) return i;
  }
  return absl::ResourceExhaustedError(
      "all four slots of the partition table are in use");
}

// Sectors from `first` to the end of the last whole cylinder, or of the disk if
// it has none behind `first`.
uint64_t DefaultLength(uint64_t first, uint64_t disk_sectors,
                       const DiskShape& shape) {
  const uint64_t cylinder = shape.sectors_per_cylinder();
  const uint64_t end = disk_sectors / cylinder * cylinder;
  if (end > first) return end - first;
  return disk_sectors > first ? disk_sectors - first : 0;
}

}  // namespace

ChsAddress ChsAddress::Decode(const std::byte* bytes) {
  const auto sector = std::to_integer<uint32_t>(bytes[1]);
  ChsAddress address;
  address.head = std::to_integer<uint8_t>(bytes[0]);
  address.sector = static_cast<uint8_t>(sector & 0x3f);
  address.cylinder = static_cast<uint16_t>((sector & 0xc0) << 2 |
                                           std::to_integer<uint32_t>(bytes[2]));
  return address;
}

void ChsAddress::Encode(std::byte* bytes) const {
  bytes[0] = static_cast<std::byte>(head);
  bytes[1] = static_cast<std::byte>((sector & 0x3f) | (cylinder >> 2 & 0xc0));
  bytes[2] = static_cast<std::byte>(cylinder & 0xff);
}

ChsAddress DiskShape::AddressOf(uint64_t lba) const {
  const uint64_t cylinder = lba / sectors_per_cylinder();
  if (cylinder >= kMaxCylinders) return kBeyondAddress;
  ChsAddress address;
  address.cylinder = static_cast<uint16_t>(cylinder);
  address.head = static_cast<uint8_t>(lba / sectors_per_track % heads);
  address.sector = static_cast<uint8_t>(lba % sectors_per_track + 1);
  return address;
}

DiskShape ShapeFor(uint64_t disk_sectors) {
  DiskShape shape;
  for (const uint32_t heads : {16, 32, 64, 128, 255}) {
    shape.heads = heads;
    if (disk_sectors <= shape.sectors_per_cylinder() * kMaxCylinders) break;
  }
  return shape;
}

MbrEntry MbrEntry::Decode(const std::byte* bytes) {
  MbrEntry entry;
  entry.status = std::to_integer<uint8_t>(bytes[0]);
  entry.first_chs = ChsAddress::Decode(bytes + 1);
  entry.type = std::to_integer<uint8_t>(bytes[4]);
  entry.last_chs = ChsAddress::Decode(bytes + 5);
  entry.first_sector = LoadLe32(bytes + 8);
  entry.sectors = LoadLe32(bytes + 12);
  return entry;
}

void MbrEntry::Encode(std::byte* bytes) const {
  bytes[0] = static_cast<std::byte>(status);
  first_chs.Encode(bytes + 1);
  bytes[4] = static_cast<std::byte>(type);
  last_chs.Encode(bytes + 5);
  StoreLe32(bytes + 8, first_sector);
  StoreLe32(bytes + 12, sectors);
}

Mbr Mbr::Decode(std::span<const std::byte> sector) {
  std::array<std::byte, kPartitionSectorBytes> bytes = {};
  std::copy_n(sector.begin(), std::min(sector.size(), bytes.size()),
              bytes.begin());
  Mbr mbr;
  std::copy_n(bytes.begin(), mbr.front.size(), mbr.front.begin());
  for (size_t i = 0; i < kMbrEntries; ++i) {
    mbr.entries[i] =
        MbrEntry::Decode(&bytes[kMbrEntriesOffset + i * kMbrEntryBytes]);
  }
  mbr.signature = LoadLe16(&bytes[510]);
  return mbr;
}

std::array<std::byte, kPartitionSectorBytes> Mbr::Encode() const {
  std::array<std::byte, kPartitionSectorBytes> bytes = {};
  std::copy(front.begin(), front.end(), bytes.begin());
  for (size_t i = 0; i < kMbrEntries; ++i) {
    entries[i].Encode(&bytes[kMbrEntriesOffset + i * kMbrEntryBytes]);
  }
  StoreLe16(&bytes[510], signature);
  return bytes;
}

bool Mbr::protective() const {
  return valid() &&
         std::any_of(entries.begin(), entries.end(), [](const MbrEntry& entry) {
           return entry.type == kMbrTypeProtective;
         });
}

absl::StatusOr<size_t> AddPartition(const NewPartition& partition,
                                    uint64_t disk_sectors, Mbr& mbr) {
  if (mbr.protective()) {
    return absl::FailedPreconditionError(
        "the disk has a GUID partition table; a primary partition beside it "
        "would be unknown to it");
  }
  // What stands there without a signature is no table.
  if (!mbr.valid()) mbr.entries = {};
  RETURN_IF_ERROR(CheckType(partition.type));
  const DiskShape shape = ShapeFor(disk_sectors);
  const uint64_t first = partition.first_sector;
  const uint64_t sectors = partition.sectors != 0
                               ? partition.sectors
                               : DefaultLength(first, disk_sectors, shape);
  RETURN_IF_ERROR(CheckPlace(first, sectors, disk_sectors));
  RETURN_IF_ERROR(CheckFree(mbr, first, sectors));
  ASSIGN_OR_RETURN(const size_t slot, FreeSlot(mbr));
  MbrEntry& entry = mbr.entries[slot];
  entry.status = partition.bootable ? kMbrBootable : 0;
  entry.type = partition.type;
  entry.first_chs = shape.AddressOf(first);
  entry.last_chs = shape.AddressOf(first + sectors - 1);
  entry.first_sector = static_cast<uint32_t>(first);
  entry.sectors = static_cast<uint32_t>(sectors);
  mbr.signature = kMbrSignature;
  return slot;
}

}  // namespace qcow2
