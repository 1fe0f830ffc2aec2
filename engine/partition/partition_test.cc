#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/image/raw_disk.h"
#include "engine/little_endian.h"
#include "engine/partition/gpt.h"
#include "engine/partition/mbr.h"
#include "engine/partition/partition_table.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

constexpr uint64_t kSector = kPartitionSectorBytes;

std::unique_ptr<RawDisk> Disk(std::vector<std::byte> bytes) {
  auto disk =
      RawDisk::Open(std::make_unique<MemoryFile>(std::move(bytes)), true);
  EXPECT_TRUE(disk.ok()) << disk.status();
  return *std::move(disk);
}

// The log of the old partitioning tool, on a disk of 2 MiB:
//   80 01 00 01 0e 0f 03 3f 63 3969
// bootable, head 1 cylinder 0 sector 1, type 0x0e, head 15 cylinder 3 sector
// 63, 3969 sectors from sector 63 on.
TEST(MbrTest, AnEntryAsTheOldToolMadeIt) {
  Mbr mbr;
  const auto slot = AddPartition(
      {.type = 0x0e, .first_sector = 63, .sectors = 3969, .bootable = true},
      4096, mbr);
  ASSERT_TRUE(slot.ok()) << slot.status();
  EXPECT_EQ(*slot, 0);
  const MbrEntry& entry = mbr.entries[0];
  EXPECT_EQ(entry.status, 0x80);
  EXPECT_EQ(entry.first_chs, (ChsAddress{0, 1, 1}));
  EXPECT_EQ(entry.last_chs, (ChsAddress{3, 15, 63}));
  const auto bytes = mbr.Encode();
  constexpr uint8_t kExpected[] = {0x80, 0x01, 0x01, 0x00, 0x0e, 0x0f,
                                   0x3f, 0x03, 63,   0,    0,    0,
                                   0x81, 0x0f, 0,    0};
  for (size_t i = 0; i < sizeof kExpected; ++i) {
    EXPECT_EQ(std::to_integer<uint8_t>(bytes[446 + i]), kExpected[i]) << i;
  }
  EXPECT_EQ(LoadLe16(&bytes[510]), 0xaa55);
}

TEST(MbrTest, WithoutALengthItEndsWithTheLastWholeCylinder) {
  Mbr mbr;
  ASSERT_TRUE(AddPartition({}, 4096, mbr).ok());
  EXPECT_EQ(mbr.entries[0].sectors, 3969);
}

TEST(MbrTest, DecodingAndEncodingKeepsEveryByte) {
  std::vector<std::byte> sector(kSector);
  for (size_t i = 0; i < sector.size(); ++i) {
    sector[i] = static_cast<std::byte>(i * 7 + 3);
  }
  const auto encoded = Mbr::Decode(sector).Encode();
  EXPECT_TRUE(std::equal(encoded.begin(), encoded.end(), sector.begin()));
}

TEST(MbrTest, LargeDisksHaveMoreHeadsAndThenNoAddress) {
  EXPECT_EQ(ShapeFor(uint64_t{1024} * 16 * 63).heads, 16);
  EXPECT_EQ(ShapeFor(uint64_t{1024} * 16 * 63 + 1).heads, 32);
  EXPECT_EQ(ShapeFor(uint64_t{1} << 40).heads, 255);
  EXPECT_EQ(ShapeFor(uint64_t{1} << 40).AddressOf(uint64_t{1} << 30),
            (ChsAddress{1023, 254, 63}));
}

TEST(MbrTest, NothingIsOverwritten) {
  Mbr mbr;
  ASSERT_TRUE(
      AddPartition({.first_sector = 100, .sectors = 50}, 4096, mbr).ok());
  const Mbr before = mbr;
  for (const auto& [first, sectors] : std::vector<std::pair<int, int>>{
           {149, 1}, {50, 51}, {100, 50}, {120, 5}, {90, 500}}) {
    EXPECT_EQ(AddPartition({.first_sector = static_cast<uint64_t>(first),
                            .sectors = static_cast<uint64_t>(sectors)},
                           4096, mbr)
                  .status()
                  .code(),
              absl::StatusCode::kAlreadyExists)
        << first << " " << sectors;
  }
  EXPECT_EQ(mbr, before);
  for (const int first : {150, 160, 170}) {
    ASSERT_TRUE(AddPartition({.first_sector = static_cast<uint64_t>(first),
                              .sectors = 10},
                             4096, mbr)
                    .ok());
  }
  EXPECT_EQ(AddPartition({.first_sector = 1000, .sectors = 1}, 4096, mbr)
                .status()
                .code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(MbrTest, PlacesOutsideTheDiskAreRefused) {
  Mbr mbr;
  const auto code = [&](uint64_t first, uint64_t sectors, uint64_t disk) {
    return AddPartition({.first_sector = first, .sectors = sectors}, disk, mbr)
        .status()
        .code();
  };
  EXPECT_EQ(code(0, 1, 4096), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(code(4096, 1, 4096), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(code(63, 4034, 4096), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(code(63, ~uint64_t{0}, 4096), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(code(uint64_t{1} << 32, 1, uint64_t{1} << 40),
            absl::StatusCode::kOutOfRange);
  EXPECT_FALSE(mbr.valid());
}

TEST(PartitionTableTest, ADiskWithoutTableGetsOneAndKeepsItsBootCode) {
  std::vector<std::byte> bytes(4096 * kSector);
  bytes[0] = std::byte{0xeb};
  bytes[439] = std::byte{0x90};
  const auto disk = Disk(std::move(bytes));
  EXPECT_EQ(ReadPartitionTable(*disk)->kind, PartitionTableKind::kNone);
  const auto slot = CreatePartition(*disk, {.type = 0x83});
  ASSERT_TRUE(slot.ok()) << slot.status();
  const auto table = ReadPartitionTable(*disk);
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(table->kind, PartitionTableKind::kMbr);
  ASSERT_EQ(table->partitions.size(), 1);
  EXPECT_EQ(table->partitions[0].first_sector, 63);
  EXPECT_TRUE(table->problems.empty());
  std::vector<std::byte> sector(kSector);
  ASSERT_TRUE(disk->Read(0, sector).ok());
  EXPECT_EQ(sector[0], std::byte{0xeb});
  EXPECT_EQ(sector[439], std::byte{0x90});
}

// A chain of two logical partitions; the second record leads back to the first.
void Put(std::vector<std::byte>& bytes, uint64_t sector, const Mbr& record) {
  const auto encoded = record.Encode();
  std::copy(encoded.begin(), encoded.end(),
            bytes.begin() + static_cast<ptrdiff_t>(sector * kSector));
}

// A disk of 2 MiB with an extended partition from sector 1000 on.
std::vector<std::byte> ExtendedDisk() {
  std::vector<std::byte> bytes(4096 * kSector);
  Mbr mbr;
  EXPECT_TRUE(
      AddPartition({.type = 0x05, .first_sector = 1000, .sectors = 3000}, 4096,
                   mbr)
          .ok());
  Put(bytes, 0, mbr);
  return bytes;
}

TEST(PartitionTableTest, LogicalPartitionsAreFollowedAndNotInCircles) {
  std::vector<std::byte> bytes = ExtendedDisk();
  Mbr record;
  record.signature = kMbrSignature;
  record.entries[0].type = 0x83;
  record.entries[0].first_sector = 10;
  record.entries[0].sectors = 100;
  record.entries[1].type = 0x05;
  record.entries[1].first_sector = 500;
  Put(bytes, 1000, record);
  record.entries[1].first_sector = 0;
  Put(bytes, 1500, record);
  const auto table = ReadPartitionTable(*Disk(std::move(bytes)));
  ASSERT_TRUE(table.ok());
  ASSERT_EQ(table->partitions.size(), 3);
  EXPECT_EQ(table->partitions[1].number, 5);
  EXPECT_EQ(table->partitions[1].first_sector, 1010);
  EXPECT_EQ(table->partitions[2].first_sector, 1510);
  EXPECT_TRUE(table->partitions[2].logical);
  ASSERT_EQ(table->problems.size(), 1);
  EXPECT_NE(table->problems[0].find("sector 1000"), std::string::npos);
}

TEST(PartitionTableTest, NoMoreLogicalPartitionsThanAreFollowed) {
  std::vector<std::byte> bytes = ExtendedDisk();
  for (uint32_t i = 0; i < 200; ++i) {
    Mbr record;
    record.signature = kMbrSignature;
    record.entries[0].type = 0x83;
    record.entries[0].first_sector = 1;
    record.entries[0].sectors = 9;
    record.entries[1].type = 0x05;
    record.entries[1].first_sector = 10 * (i + 1);
    Put(bytes, 1000 + 10 * i, record);
  }
  const auto table = ReadPartitionTable(*Disk(std::move(bytes)));
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(table->partitions.size(), 1 + 128);
  ASSERT_EQ(table->problems.size(), 1);
  EXPECT_NE(table->problems[0].find("more logical"), std::string::npos);
}

// A disk of 1 MiB with both copies of a table of 128 entries.
class GptTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kSectors = 2048;

  GptTest() : bytes_(kSectors * kSector) {
    Mbr mbr;
    mbr.signature = kMbrSignature;
    mbr.entries[0].type = kMbrTypeProtective;
    mbr.entries[0].first_sector = 1;
    mbr.entries[0].sectors = kSectors - 1;
    Put(0, mbr.Encode());
    GptEntry entry;
    for (size_t i = 0; i < 16; ++i) {
      entry.type.bytes[i] = static_cast<std::byte>(i + 1);
    }
    entry.first_sector = 64;
    entry.last_sector = 127;
    StoreLe16(&entry.padded_name[0], 'r');
    StoreLe16(&entry.padded_name[2], 0xe9);
    StoreLe16(&entry.padded_name[4], 0xd83d);
    StoreLe16(&entry.padded_name[6], 0xde00);
    std::vector<std::byte> array(128 * kGptEntryBytes);
    const auto encoded = entry.Encode();
    std::copy(encoded.begin(), encoded.end(),
              array.begin() + kGptEntryBytes);  // the second slot
    Put(2, array);
    Put(kSectors - 33, array);
    PutHeader(1, kSectors - 1, 2, array);
    PutHeader(kSectors - 1, 1, kSectors - 33, array);
  }

  void Put(uint64_t sector, std::span<const std::byte> bytes) {
    std::copy(bytes.begin(), bytes.end(),
              bytes_.begin() + static_cast<ptrdiff_t>(sector * kSector));
  }
  void PutHeader(uint64_t own, uint64_t other, uint64_t array_sector,
                 std::span<const std::byte> array) {
    GptHeader header;
    header.signature = GptSignature();
    header.own_sector = own;
    header.other_sector = other;
    header.array_sector = array_sector;
    header.entries = 128;
    header.array_crc = GptArrayCrc(array);
    header.header_crc = GptHeaderCrc(header.Encode());
    Put(own, header.Encode());
  }
  PartitionTable Read() {
    auto table = ReadPartitionTable(*Disk(bytes_));
    EXPECT_TRUE(table.ok()) << table.status();
    return table.ok() ? *std::move(table) : PartitionTable();
  }

  std::vector<std::byte> bytes_;
};

TEST_F(GptTest, ASoundTableIsRead) {
  const PartitionTable table = Read();
  EXPECT_EQ(table.kind, PartitionTableKind::kGpt);
  EXPECT_TRUE(table.problems.empty());
  EXPECT_FALSE(table.from_backup);
  ASSERT_EQ(table.partitions.size(), 1);
  EXPECT_EQ(table.partitions[0].number, 2);
  EXPECT_EQ(table.partitions[0].first_sector, 64);
  EXPECT_EQ(table.partitions[0].sectors, 64);
  EXPECT_EQ(table.partitions[0].gpt.name(), "r\u00e9\U0001f600");
  EXPECT_EQ(table.partitions[0].gpt.type.Text(),
            "04030201-0605-0807-090a-0b0c0d0e0f10");
}

TEST_F(GptTest, ADamagedFirstHeaderGivesWayToTheBackup) {
  bytes_[kSector + 40] ^= std::byte{1};
  const PartitionTable table = Read();
  EXPECT_TRUE(table.from_backup);
  ASSERT_EQ(table.problems.size(), 1);
  EXPECT_NE(table.problems[0].find("CRC of the header"), std::string::npos);
  EXPECT_EQ(table.partitions.size(), 1);
}

TEST_F(GptTest, DamagedEntriesAreNoticed) {
  bytes_[2 * kSector + 5000] ^= std::byte{1};
  const PartitionTable table = Read();
  EXPECT_TRUE(table.from_backup);
  ASSERT_EQ(table.problems.size(), 1);
  EXPECT_NE(table.problems[0].find("CRC of the entries"), std::string::npos);
}

TEST_F(GptTest, HugeNumbersAreNotBelieved) {
  GptHeader header = GptHeader::Decode(std::span(bytes_).subspan(kSector));
  header.entries = ~uint32_t{0};
  header.header_crc = GptHeaderCrc(header.Encode());
  Put(1, header.Encode());
  const PartitionTable table = Read();
  EXPECT_TRUE(table.from_backup);
  ASSERT_EQ(table.problems.size(), 1);
  EXPECT_NE(table.problems[0].find("more entries"), std::string::npos);
}

TEST_F(GptTest, EntriesPastTheEndOfTheDiskAreNotRead) {
  for (const uint64_t sector :
       {kSectors - 1, kSectors, kSectors + 1, ~uint64_t{0} / kSector}) {
    GptHeader header = GptHeader::Decode(std::span(bytes_).subspan(kSector));
    header.array_sector = sector;
    header.header_crc = GptHeaderCrc(header.Encode());
    Put(1, header.Encode());
    const PartitionTable table = Read();
    EXPECT_TRUE(table.from_backup);
    ASSERT_EQ(table.problems.size(), 1);
    EXPECT_NE(table.problems[0].find("past the end"), std::string::npos);
  }
}

TEST_F(GptTest, NoPrimaryPartitionIsMadeBesideIt) {
  EXPECT_EQ(CreatePartition(*Disk(bytes_), {}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  Put(0, std::vector<std::byte>(kSector));  // no record protects it now
  EXPECT_EQ(CreatePartition(*Disk(bytes_), {}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace qcow2
