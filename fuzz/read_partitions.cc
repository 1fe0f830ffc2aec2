// Any bytes are a disk: its partition table is read, what is no good in it is
// said, and a new partition goes where there is room and nowhere else.
//
// The first byte: whether checksums are put right first, so that they do not
// keep the fuzzer out, and how much longer than the rest of the input the disk
// is. The next four: the partition to create.
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "engine/image/raw_disk.h"
#include "engine/little_endian.h"
#include "engine/partition/partition_table.h"
#include "engine/storage/memory_file.h"
#include "fuzz/fuzz_target.h"

namespace {

using namespace qcow2;  // NOLINT: this target is about nothing else
using Bytes = std::vector<std::byte>;

constexpr size_t kChoiceBytes = 5;
constexpr size_t kMaxDiskBytes = size_t{64} << 10;
constexpr uint64_t kSector = kPartitionSectorBytes;

// Makes the checksums of the header in `sector` those of what is there.
void PutChecksumsRight(uint64_t sector, Bytes& disk) {
  const uint64_t begin = sector * kSector;
  if (disk.size() < kSector || begin > disk.size() - kSector) return;
  const std::span<std::byte> header(disk.data() + begin, kSector);
  const GptHeader decoded = GptHeader::Decode(header);
  const uint64_t bytes = decoded.array_bytes();
  if (bytes <= kMaxGptArrayBytes &&
      decoded.array_sector < disk.size() / kSector &&
      bytes <= disk.size() - decoded.array_sector * kSector) {
    const std::span<const std::byte> array(disk);
    StoreLe32(&header[88], GptArrayCrc(array.subspan(
                               decoded.array_sector * kSector, bytes)));
  }
  StoreLe32(&header[16], GptHeaderCrc(header));
}

void CheckValues(std::span<const std::byte> sector) {
  std::array<std::byte, kSector> padded = {};
  std::copy_n(sector.begin(), std::min(sector.size(), padded.size()),
              padded.begin());
  FUZZ_CHECK(Mbr::Decode(sector).Encode() == padded);
  const GptHeader header = GptHeader::Decode(sector);
  FUZZ_CHECK(GptHeader::Decode(header.Encode()) == header);
  const GptEntry entry = GptEntry::Decode(sector);
  FUZZ_CHECK(GptEntry::Decode(entry.Encode()) == entry);
  FUZZ_CHECK(entry.name().size() <= 3 * 36);
}

PartitionTable Read(GuestDisk& disk) {
  absl::StatusOr<PartitionTable> table = ReadPartitionTable(disk);
  FUZZ_CHECK(table.ok());  // every byte of the disk can be read
  const uint64_t most = table->kind == PartitionTableKind::kGpt
                            ? kMaxGptArrayBytes / kGptEntryBytes
                            : kMbrEntries * (1 + kMaxLogicalPartitions);
  FUZZ_CHECK(table->partitions.size() <= most);
  FUZZ_CHECK(table->kind != PartitionTableKind::kNone ||
             table->partitions.empty());
  for (const Partition& partition : table->partitions) {
    FUZZ_CHECK(partition.number > 0);
    const uint64_t end = partition.first_sector + partition.sectors;
    const bool outside =
        end < partition.first_sector || end > table->disk_sectors;
    FUZZ_CHECK(!outside || !table->problems.empty());
  }
  for (const std::string& problem : table->problems) {
    FUZZ_CHECK(!problem.empty() && problem.find('\n') == std::string::npos);
  }
  return *std::move(table);
}

// The new partition is in the table, and no byte behind it was written.
void CheckCreated(size_t slot, const NewPartition& wanted,
                  const PartitionTable& before, const Bytes& old_bytes,
                  RawDisk& disk) {
  FUZZ_CHECK(slot < kMbrEntries);
  const PartitionTable table = Read(disk);
  FUZZ_CHECK(table.kind == PartitionTableKind::kMbr);
  const auto found = std::ranges::find_if(table.partitions,
                                          [slot](const Partition& partition) {
                                            return partition.number == slot + 1;
                                          });
  FUZZ_CHECK(found != table.partitions.end());
  FUZZ_CHECK(found->first_sector == wanted.first_sector &&
             found->mbr.type == wanted.type && found->sectors > 0);
  FUZZ_CHECK(wanted.sectors == 0 || found->sectors == wanted.sectors);
  for (const Partition& other : before.partitions) {
    if (other.logical) continue;
    FUZZ_CHECK(other.first_sector >= found->first_sector + found->sectors ||
               other.first_sector + other.sectors <= found->first_sector ||
               other.sectors == 0);
  }
  Bytes bytes(old_bytes.size());
  FUZZ_CHECK(disk.Read(0, bytes).ok());
  FUZZ_CHECK(std::equal(bytes.begin() + kSector, bytes.end(),
                        old_bytes.begin() + kSector));
}

NewPartition Wanted(const uint8_t* choice) {
  return {.type = choice[1],
          .first_sector = choice[2],
          .sectors = choice[3],
          .bootable = (choice[4] & 1) != 0};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < kChoiceBytes || size > kMaxDiskBytes) return 0;
  const auto input = fuzz::InputBytes(data, size).subspan(kChoiceBytes);
  Bytes bytes(input.begin(), input.end());
  bytes.resize(bytes.size() + (data[0] >> 1) * kSector);
  if ((data[0] & 1) != 0) {
    PutChecksumsRight(1, bytes);
    PutChecksumsRight(bytes.size() / kSector - 1, bytes);
  }
  CheckValues(input);
  auto disk = RawDisk::Open(std::make_unique<MemoryFile>(bytes), true);
  FUZZ_CHECK(disk.ok());
  const PartitionTable before = Read(**disk);
  const NewPartition wanted = Wanted(data);
  const auto slot = CreatePartition(**disk, wanted);
  if (slot.ok()) {
    CheckCreated(*slot, wanted, before, bytes, **disk);
  } else {
    FUZZ_CHECK(!slot.status().message().empty());
    Bytes after(bytes.size());
    FUZZ_CHECK((*disk)->Read(0, after).ok() && after == bytes);
  }
  return 0;
}
