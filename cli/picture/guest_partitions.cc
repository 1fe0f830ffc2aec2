#include "cli/picture/guest_partitions.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "checker/printable.h"
#include "engine/image/image.h"
#include "engine/partition/partition_table.h"
#include "engine/storage/forwarding_file.h"

namespace qcow2::cli {
namespace {

using checker::Printable;

// Words of a table's problems: a hostile one can have thousands.
constexpr size_t kMaxNotes = 8;

bool HoldsOthers(const Partition& partition) {
  const uint8_t type = partition.mbr.type;
  return type == kMbrTypeExtendedChs || type == kMbrTypeExtendedLba ||
         type == kMbrTypeExtendedLinux;
}

std::string DescribeMbr(const Partition& partition) {
  const std::string_view name = NameOfMbrType(partition.mbr.type);
  return name.empty() ? absl::StrFormat("type 0x%02x", partition.mbr.type)
                      : std::string(name);
}

std::string DescribeGpt(const Partition& partition) {
  const std::string_view kind = NameOfGptType(partition.gpt.type);
  std::string text =
      kind.empty() ? "type " + partition.gpt.type.Text() : std::string(kind);
  const std::string name = partition.gpt.name();
  if (!name.empty()) text += ", '" + Printable(name) + "'";
  return text;
}

// 0 sectors if the partition is past all addresses.
GuestPartition Convert(const Partition& partition, bool gpt) {
  constexpr uint64_t kMaxSectors = ~uint64_t{0} / kPartitionSectorBytes;
  GuestPartition converted;
  converted.number = partition.number;
  converted.description = gpt ? DescribeGpt(partition) : DescribeMbr(partition);
  if (partition.first_sector < kMaxSectors) {
    converted.offset_bytes = partition.first_sector * kPartitionSectorBytes;
    converted.length_bytes =
        std::min(partition.sectors, kMaxSectors - partition.first_sector) *
        kPartitionSectorBytes;
  }
  return converted;
}

void Note(GuestPartitions& partitions, std::string_view note) {
  if (partitions.notes.size() < kMaxNotes) {
    partitions.notes.push_back(Printable(note));
  }
}

void TakeTable(const PartitionTable& table, GuestPartitions& partitions) {
  const bool gpt = table.kind == PartitionTableKind::kGpt;
  partitions.table = gpt ? "GPT" : "MBR";
  if (table.from_backup) {
    Note(partitions,
         "the partition table at the start of the disk is damaged; this is the "
         "copy at its end");
  }
  for (const std::string& problem : table.problems) Note(partitions, problem);
  for (const Partition& partition : table.partitions) {
    if (!gpt && HoldsOthers(partition)) continue;
    if (partitions.partitions.size() == kMaxGuestPartitions) {
      ++partitions.omitted;
      continue;
    }
    partitions.partitions.push_back(Convert(partition, gpt));
  }
}

// Whether the disk's first sector is to be had from a backing file.
bool BeginsInBackingFile(Image& image) {
  if (image.header_area().backing_name.empty()) return false;
  const absl::StatusOr<GuestExtent> extent =
      image.ExtentAt(0, kPartitionSectorBytes);
  return extent.ok() && extent->kind == GuestExtentKind::kUnallocated;
}

}  // namespace

GuestPartitions ReadGuestPartitions(File& file) {
  GuestPartitions partitions;
  ImageOptions options;
  options.salvage = true;
  absl::StatusOr<std::unique_ptr<Image>> image =
      Image::Open(std::make_unique<ForwardingFile>(file), std::move(options));
  if (!image.ok()) {
    Note(partitions, "the partitions are not known: " +
                         std::string(image.status().message()));
    return partitions;
  }
  if (BeginsInBackingFile(**image)) {
    Note(partitions,
         "the partitions are not known: the disk begins in the backing file, "
         "which is not read for this");
    return partitions;
  }
  const absl::StatusOr<PartitionTable> table = ReadPartitionTable(**image);
  if (!table.ok()) {
    Note(partitions, "the partitions are not known: " +
                         std::string(table.status().message()));
  } else if (table->kind == PartitionTableKind::kNone) {
    Note(partitions, "the disk has no partition table");
  } else {
    TakeTable(*table, partitions);
  }
  return partitions;
}

}  // namespace qcow2::cli
