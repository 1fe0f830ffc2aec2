#include "engine/format/snapshot_table.h"

#include <algorithm>

#include "engine/format/test_bytes.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

// The table after `qemu-img snapshot -c first` and `-c "second one"` of an
// image of 1 MiB.
constexpr char kTwoSnapshots[] =
    "000000000004000000000001000100056b010d9b138ed2180000000000000000"
    "0000000000000018000000000000000000000000001000000000000000000000"
    "31666972737400000000000000060000000000010001000a6b010d9b13e0da18"
    "0000000000000000000000000000001800000000000000000000000000100000"
    "0000000000000000327365636f6e64206f6e6500000000000000000000000000";

TEST(SnapshotTableTest, DecodesWhatQemuImgWrote) {
  const auto bytes = FromHex(kTwoSnapshots);
  const std::vector<LocatedSnapshot> table = DecodeSnapshotTable(bytes, 2);
  ASSERT_EQ(table.size(), 2u);
  const SnapshotEntry& first = table[0].entry;
  EXPECT_EQ(first.l1_table_offset, HostOffset(0x40000));
  EXPECT_EQ(first.l1_size, 1u);
  EXPECT_EQ(first.id, "1");
  EXPECT_EQ(first.name, "first");
  EXPECT_EQ(first.date_seconds, 0x6b010d9bu);
  EXPECT_EQ(first.date_nanoseconds, 0x138ed218u);
  EXPECT_EQ(first.vm_state_size(), 0u);
  EXPECT_EQ(first.disk_size(), uint64_t{1} << 20);
  EXPECT_EQ(first.instruction_count(), 0u);
  EXPECT_EQ(first.size_bytes(), 70u);
  EXPECT_EQ(first.padded_size_bytes(), 72u);
  EXPECT_EQ(table[1].offset, 72u);
  EXPECT_EQ(table[1].entry.name, "second one");
  const Geometry geometry = *Geometry::Create(16, 4, false);
  EXPECT_EQ(SnapshotIssues(first, geometry, 3), 0u);
  EXPECT_EQ(SnapshotIssues(table[1].entry, geometry, 3), 0u);

  const std::vector<SnapshotEntry> entries = {first, table[1].entry};
  const auto encoded = EncodeSnapshotTable(entries);
  EXPECT_EQ(encoded.size(), 152u);
  EXPECT_TRUE(std::equal(encoded.begin(), encoded.end(), bytes.begin()));
}

TEST(SnapshotTableTest, CutShortAnywhereKeepsWhatIsThere) {
  const auto bytes = FromHex(kTwoSnapshots);
  const std::span<const std::byte> whole(bytes);
  for (size_t size = 0; size < 70; ++size) {
    const SnapshotEntry entry = SnapshotEntry::Decode(whole.first(size));
    EXPECT_FALSE(entry.complete()) << size;
    const uint64_t known = size >= kSnapshotFixedSize ? 70 : 0;
    EXPECT_GE(entry.size_bytes(), known) << size;
    EXPECT_LE(entry.size_bytes(), 70u) << size;
    const auto encoded = entry.Encode();
    ASSERT_EQ(encoded.size(), size);
    ASSERT_TRUE(std::equal(encoded.begin(), encoded.end(), bytes.begin()));
  }
  for (size_t size = 1; size < 72; ++size) {
    EXPECT_EQ(DecodeSnapshotTable(whole.first(size), 2).size(), 1u) << size;
  }
  EXPECT_EQ(DecodeSnapshotTable(whole.first(73), 2).size(), 2u);
  EXPECT_TRUE(DecodeSnapshotTable({}, 2).empty());
}

TEST(SnapshotTableTest, RandomBytesRoundTrip) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::byte> bytes = RandomBytes(random, random() % 120);
    // Lengths that fit now and then.
    for (size_t at : {12, 14, 36, 37, 38}) {
      if (at < bytes.size() && random() % 4 != 0) bytes[at] = std::byte{0};
    }
    const auto encoded = SnapshotEntry::Decode(bytes).Encode();
    ASSERT_LE(encoded.size(), bytes.size());
    ASSERT_TRUE(std::equal(encoded.begin(), encoded.end(), bytes.begin()));
  }
}

TEST(SnapshotTableTest, LargestLengthsAllocateNothing) {
  std::vector<std::byte> bytes(64, std::byte{0xff});
  const SnapshotEntry entry = SnapshotEntry::Decode(bytes);
  EXPECT_EQ(entry.size_bytes(),
            uint64_t{0xffffffff} + 40 + uint64_t{2} * 0xffff);
  EXPECT_EQ(entry.extra_data.size(), 24u);
  EXPECT_TRUE(entry.name.empty());
}

TEST(SnapshotTableTest, ExtraDataDecidesTheSizes) {
  SnapshotEntry entry;
  entry.vm_state_size_32 = 7;
  EXPECT_EQ(entry.vm_state_size(), 7u);
  EXPECT_EQ(entry.disk_size(), std::nullopt);
  entry.extra_data = FromHex("00000001000000000000000200000000");
  EXPECT_EQ(entry.vm_state_size(), uint64_t{1} << 32);
  EXPECT_EQ(entry.disk_size(), uint64_t{2} << 32);
  EXPECT_EQ(entry.instruction_count(), std::nullopt);
  entry.extra_data.resize(15);
  EXPECT_EQ(entry.disk_size(), std::nullopt);
  entry.extra_data.resize(7);
  EXPECT_EQ(entry.vm_state_size(), 7u);
}

TEST(SnapshotTableTest, Verdicts) {
  SnapshotEntry healthy;
  healthy.id = "1";
  healthy.extra_data.resize(16);
  struct Case {
    const char* name;
    uint32_t version;
    uint32_t issues;
    void (*damage)(SnapshotEntry&);
  };
  const Case cases[] = {
      {"healthy", 3, 0, [](SnapshotEntry&) {}},
      {"version 2 needs no extra data", 2, 0,
       [](SnapshotEntry& e) { e.extra_data.clear(); }},
      {"extra data of 15", 3, kSnapshotExtraTooShort,
       [](SnapshotEntry& e) { e.extra_data.resize(15); }},
      {"extra data of 1024", 3, 0,
       [](SnapshotEntry& e) { e.extra_data.resize(1024); }},
      {"extra data of 1025", 2, kSnapshotExtraTooLong,
       [](SnapshotEntry& e) { e.extra_data.resize(1025); }},
      {"missing extra data counts", 3,
       kSnapshotExtraTooLong | kSnapshotCutShort,
       [](SnapshotEntry& e) { e.missing_extra = 2000; }},
      {"unaligned", 3, kSnapshotL1Unaligned,
       [](SnapshotEntry& e) { e.l1_table_offset = HostOffset(512); }},
      {"largest L1", 3, 0, [](SnapshotEntry& e) { e.l1_size = 4u << 20; }},
      {"L1", 3, kSnapshotL1TooLarge,
       [](SnapshotEntry& e) { e.l1_size = (4u << 20) + 1; }},
      {"no id", 3, kSnapshotIdEmpty, [](SnapshotEntry& e) { e.id.clear(); }},
      {"name cut", 3, kSnapshotCutShort,
       [](SnapshotEntry& e) { e.missing_name = 1; }},
  };
  const Geometry geometry = *Geometry::Create(16, 4, false);
  for (const Case& c : cases) {
    SnapshotEntry entry = healthy;
    c.damage(entry);
    EXPECT_EQ(SnapshotIssues(entry, geometry, c.version), c.issues) << c.name;
  }
}

}  // namespace
}  // namespace qcow2
