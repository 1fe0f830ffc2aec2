#include "engine/partition/partition_table.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

using Sector = std::array<std::byte, kPartitionSectorBytes>;

struct IssueRow {
  uint32_t issue;
  const char* text;
};

constexpr IssueRow kGptIssues[] = {
    {kGptBadSignature, "no \"EFI PART\" signature"},
    {kGptBadHeaderSize, "impossible header size"},
    {kGptBadHeaderCrc, "wrong CRC of the header"},
    {kGptBadOwnSector, "the header says it is elsewhere"},
    {kGptBadEntrySize, "impossible size of entries"},
    {kGptArrayTooLarge, "more entries than can be"},
    {kGptBadArrayCrc, "wrong CRC of the entries"},
    {kGptArrayOutside, "the entries are past the end of the disk"},
};

// Reads sector `number`; zeros past the end of the disk.
absl::StatusOr<Sector> ReadSector(GuestDisk& disk, uint64_t number) {
  Sector sector = {};
  const uint64_t size = disk.size_bytes();
  if (number >= size / kPartitionSectorBytes +
                    (size % kPartitionSectorBytes != 0 ? 1 : 0)) {
    return sector;
  }
  const uint64_t offset = number * kPartitionSectorBytes;
  RETURN_IF_ERROR(
      disk.Read(offset, std::span<std::byte>(sector).first(std::min<uint64_t>(
                            kPartitionSectorBytes, size - offset))));
  return sector;
}

// A header of a GUID partition table with its entries.
struct GptCopy {
  GptHeader header;
  std::vector<std::byte> array;
  uint32_t issues = 0;
};

absl::Status ReadArray(GuestDisk& disk, GptCopy& copy) {
  const uint64_t bytes = copy.header.array_bytes();
  const uint64_t size = disk.size_bytes();
  if (copy.header.array_sector > size / kPartitionSectorBytes ||
      bytes > size - copy.header.array_sector * kPartitionSectorBytes) {
    copy.issues |= kGptArrayOutside;
    return absl::OkStatus();
  }
  copy.array.resize(bytes);
  RETURN_IF_ERROR(
      disk.Read(copy.header.array_sector * kPartitionSectorBytes, copy.array));
  if (GptArrayCrc(copy.array) != copy.header.array_crc) {
    copy.issues |= kGptBadArrayCrc;
  }
  return absl::OkStatus();
}

absl::StatusOr<GptCopy> ReadGpt(GuestDisk& disk, uint64_t sector_number) {
  ASSIGN_OR_RETURN(const Sector sector, ReadSector(disk, sector_number));
  GptCopy copy;
  copy.header = GptHeader::Decode(sector);
  copy.issues = GptHeaderIssues(sector, sector_number);
  if ((copy.issues &
       (kGptBadSignature | kGptBadEntrySize | kGptArrayTooLarge)) == 0) {
    RETURN_IF_ERROR(ReadArray(disk, copy));
  }
  return copy;
}

void TellIssues(std::string_view which, const GptCopy& copy,
                PartitionTable& table) {
  for (const IssueRow& row : kGptIssues) {
    if ((copy.issues & row.issue) == 0) continue;
    table.problems.emplace_back(
        absl::StrCat(std::string(which), " GUID partition table: ", row.text));
  }
}

void TakeGptEntries(const GptCopy& copy, PartitionTable& table) {
  const std::span<const std::byte> array(copy.array);
  for (uint32_t i = 0; i < copy.header.entries; ++i) {
    const uint64_t at = uint64_t{i} * copy.header.entry_bytes;
    if (at + kGptEntryBytes > array.size()) break;
    Partition partition;
    partition.gpt = GptEntry::Decode(array.subspan(at));
    if (!partition.gpt.used()) continue;
    partition.number = i + 1;
    partition.first_sector = partition.gpt.first_sector;
    if (partition.gpt.last_sector < partition.first_sector) {
      table.problems.emplace_back(
          absl::StrCat("partition ", i + 1, ": ends before it begins"));
    } else {
      partition.sectors = partition.gpt.last_sector - partition.first_sector +
                          (partition.gpt.last_sector == ~uint64_t{0} ? 0 : 1);
    }
    table.partitions.push_back(partition);
  }
}

// Whether there is one, in the front or at the end of the disk.
absl::StatusOr<bool> TakeGpt(GuestDisk& disk, PartitionTable& table) {
  ASSIGN_OR_RETURN(GptCopy primary, ReadGpt(disk, 1));
  const bool found = (primary.issues & kGptBadSignature) == 0;
  const uint64_t last = table.disk_sectors > 0 ? table.disk_sectors - 1 : 0;
  ASSIGN_OR_RETURN(
      GptCopy backup,
      ReadGpt(disk, found && primary.issues == 0 ? primary.header.other_sector
                                                 : last));
  if (!found && (backup.issues & kGptBadSignature) != 0) return false;
  table.kind = PartitionTableKind::kGpt;
  TellIssues("first", primary, table);
  TellIssues("backup", backup, table);
  table.from_backup = primary.issues != 0 && backup.issues == 0;
  const GptCopy& used = table.from_backup ? backup : primary;
  table.gpt_header = used.header;
  TakeGptEntries(used, table);
  return true;
}

Partition FromMbr(uint32_t number, const MbrEntry& entry, uint64_t base) {
  Partition partition;
  partition.number = number;
  partition.first_sector = base + entry.first_sector;
  partition.sectors = entry.sectors;
  partition.mbr = entry;
  return partition;
}

// Logical partitions: a chain of records, each with one partition (relative to
// the record) and the next record (relative to the extended partition).
absl::Status TakeLogical(GuestDisk& disk, const MbrEntry& extended,
                         PartitionTable& table) {
  uint64_t record = extended.first_sector;
  uint64_t last_record = 0;
  for (uint32_t number = 5; number < 5 + kMaxLogicalPartitions; ++number) {
    if (record <= last_record || record >= table.disk_sectors) {
      table.problems.push_back(absl::StrCat(
          "the chain of logical partitions leads to sector ", record));
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const Sector sector, ReadSector(disk, record));
    const Mbr mbr = Mbr::Decode(sector);
    if (!mbr.valid()) {
      table.problems.emplace_back(
          absl::StrCat("no record of a logical partition at sector ", record));
      return absl::OkStatus();
    }
    if (mbr.entries[0].used()) {
      table.partitions.push_back(FromMbr(number, mbr.entries[0], record));
      table.partitions.back().logical = true;
    }
    if (!mbr.entries[1].used()) return absl::OkStatus();
    last_record = record;
    record = uint64_t{extended.first_sector} + mbr.entries[1].first_sector;
  }
  table.problems.emplace_back("more logical partitions than are followed");
  return absl::OkStatus();
}

absl::Status TakeMbr(GuestDisk& disk, const Mbr& mbr, PartitionTable& table) {
  table.kind = PartitionTableKind::kMbr;
  for (uint32_t i = 0; i < kMbrEntries; ++i) {
    if (!mbr.entries[i].used()) continue;
    table.partitions.push_back(FromMbr(i + 1, mbr.entries[i], 0));
  }
  for (const MbrEntry& entry : mbr.entries) {
    if (entry.extended()) RETURN_IF_ERROR(TakeLogical(disk, entry, table));
  }
  return absl::OkStatus();
}

void JudgePlaces(PartitionTable& table) {
  for (size_t i = 0; i < table.partitions.size(); ++i) {
    const Partition& a = table.partitions[i];
    if (a.first_sector >= table.disk_sectors ||
        a.sectors > table.disk_sectors - a.first_sector) {
      table.problems.push_back(absl::StrCat("partition ", a.number,
                                            ": goes past the end of the disk"));
    }
  }
}

uint64_t SectorsOf(const GuestDisk& disk) {
  return disk.size_bytes() / kPartitionSectorBytes;
}

}  // namespace

absl::StatusOr<PartitionTable> ReadPartitionTable(GuestDisk& disk) {
  PartitionTable table;
  table.disk_sectors = SectorsOf(disk);
  ASSIGN_OR_RETURN(const Sector sector, ReadSector(disk, 0));
  const Mbr mbr = Mbr::Decode(sector);
  bool gpt = false;
  if (!mbr.valid() || mbr.protective()) {
    ASSIGN_OR_RETURN(gpt, TakeGpt(disk, table));
  }
  if (gpt && !mbr.valid()) {
    table.problems.emplace_back("no protective master boot record");
  } else if (!gpt && mbr.valid()) {
    if (mbr.protective()) {
      table.problems.emplace_back(
          "the master boot record protects a GUID partition table that is not "
          "there");
    }
    RETURN_IF_ERROR(TakeMbr(disk, mbr, table));
  }
  JudgePlaces(table);
  return table;
}

absl::StatusOr<size_t> CreatePartition(GuestDisk& disk,
                                       const NewPartition& partition) {
  if (SectorsOf(disk) == 0) {
    return absl::OutOfRangeError("the disk is too small for a partition table");
  }
  ASSIGN_OR_RETURN(const PartitionTable table, ReadPartitionTable(disk));
  if (table.kind == PartitionTableKind::kGpt) {
    return absl::FailedPreconditionError(
        "the disk has a GUID partition table; a primary partition beside it "
        "would be unknown to it");
  }
  ASSIGN_OR_RETURN(const Sector sector, ReadSector(disk, 0));
  Mbr mbr = Mbr::Decode(sector);
  ASSIGN_OR_RETURN(const size_t slot,
                   AddPartition(partition, SectorsOf(disk), mbr));
  RETURN_IF_ERROR(disk.Write(0, mbr.Encode()));
  return slot;
}

std::string_view NameOfMbrType(uint8_t type) {
  switch (type) {
    case 0x01:
      return "FAT12";
    case 0x04:
    case 0x06:
      return "FAT16";
    case 0x0e:
      return "FAT16 (LBA)";
    case 0x07:
      return "NTFS, exFAT or HPFS";
    case 0x0b:
      return "FAT32";
    case 0x0c:
      return "FAT32 (LBA)";
    case kMbrTypeExtendedChs:
    case kMbrTypeExtendedLba:
    case kMbrTypeExtendedLinux:
      return "extended";
    case 0x82:
      return "Linux swap";
    case 0x83:
      return "Linux";
    case 0x8e:
      return "Linux LVM";
    case 0xa5:
      return "FreeBSD";
    case kMbrTypeProtective:
      return "GPT protective";
    case 0xef:
      return "EFI system";
    case 0xfd:
      return "Linux RAID";
    default:
      return {};
  }
}

std::string_view NameOfGptType(const Guid& type) {
  struct Row {
    std::string_view guid;
    std::string_view name;
  };
  static constexpr Row kRows[] = {
      {"c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI system"},
      {"21686148-6449-6e6f-744e-656564454649", "BIOS boot"},
      {"ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Microsoft basic data"},
      {"e3c9e316-0b5c-4db8-817d-f92df00215ae", "Microsoft reserved"},
      {"de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Windows recovery"},
      {"0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux filesystem"},
      {"0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap"},
      {"e6d6d379-f507-44c2-a23c-238f2a3df928", "Linux LVM"},
      {"a19d880f-05fc-4d3b-a006-743f0f84911e", "Linux RAID"},
      {"4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "Linux root (x86-64)"},
  };
  const std::string text = type.Text();
  for (const Row& row : kRows) {
    if (row.guid == text) return row.name;
  }
  return {};
}

}  // namespace qcow2
