#include "engine/format/header.h"

#include <algorithm>
#include <functional>
#include <random>

#include "engine/format/byte_order.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

// The first 112 bytes `qemu-img create -f qcow2 IMAGE 1G` writes, as 64-bit
// words.
constexpr uint64_t kCreatedByQemuImg[] = {0x514649fb00000003,
                                          0,
                                          0x0000000000000010,
                                          0x0000000040000000,
                                          0x0000000000000002,
                                          0x0000000000030000,
                                          0x0000000000010000,
                                          0x0000000100000000,
                                          0,
                                          0,
                                          0,
                                          0,
                                          0x0000000400000070,
                                          0};

std::vector<std::byte> CreatedByQemuImg() {
  std::vector<std::byte> bytes(sizeof(kCreatedByQemuImg));
  for (size_t i = 0; i < std::size(kCreatedByQemuImg); ++i) {
    StoreBe64(&bytes[i * 8], kCreatedByQemuImg[i]);
  }
  return bytes;
}

// The same disk in version 2.
std::vector<std::byte> CreatedByQemuImgAsVersion2() {
  std::vector<std::byte> bytes = CreatedByQemuImg();
  StoreBe32(&bytes[4], 2);
  std::fill(bytes.begin() + 72, bytes.end(), std::byte{0});
  return bytes;
}

// `bytes` decoded and encoded again must be `bytes`, as far as the header
// reaches.
void ExpectIdentity(std::span<const std::byte> bytes) {
  const std::vector<std::byte> encoded = Header::Decode(bytes).Encode();
  for (size_t i = 0; i < encoded.size(); ++i) {
    const std::byte expected = i < bytes.size() ? bytes[i] : std::byte{0};
    ASSERT_EQ(encoded[i], expected) << "byte " << i;
  }
}

TEST(HeaderTest, DecodesWhatQemuImgWrote) {
  const Header header = Header::Decode(CreatedByQemuImg());
  EXPECT_EQ(header.magic, kMagic);
  EXPECT_EQ(header.version, 3u);
  EXPECT_EQ(header.cluster_bits, 16u);
  EXPECT_EQ(header.size, uint64_t{1} << 30);
  EXPECT_EQ(header.l1_size, 2u);
  EXPECT_EQ(header.l1_table_offset, HostOffset(0x30000));
  EXPECT_EQ(header.refcount_table_offset, HostOffset(0x10000));
  EXPECT_EQ(header.refcount_table_clusters, 1u);
  EXPECT_EQ(header.nb_snapshots, 0u);
  EXPECT_EQ(header.refcount_order, 4u);
  EXPECT_EQ(header.header_length, 112u);
  EXPECT_EQ(header.bytes_missing, 0u);
  EXPECT_EQ(HeaderIssues(header), 0u);
  EXPECT_EQ(header.Encode(), CreatedByQemuImg());
}

TEST(HeaderTest, Version2GetsItsFixedValues) {
  std::vector<std::byte> bytes = CreatedByQemuImgAsVersion2();
  // What follows byte 72 belongs to an extension, not to the header.
  std::fill(bytes.begin() + 72, bytes.end(), std::byte{0xff});
  const Header header = Header::Decode(bytes);
  EXPECT_EQ(header.incompatible_features, 0u);
  EXPECT_EQ(header.refcount_order, 4u);
  EXPECT_EQ(header.header_length, 72u);
  EXPECT_EQ(header.compression_type, kCompressionDeflate);
  EXPECT_EQ(HeaderIssues(header), 0u);
  EXPECT_EQ(header.Encode().size(), 72u);
  ExpectIdentity(bytes);
}

TEST(HeaderTest, EveryByteBelongsToTheHeaderUpToItsLength) {
  for (uint32_t length = 0; length <= 140; ++length) {
    std::vector<std::byte> bytes = CreatedByQemuImg();
    bytes.resize(128);
    StoreBe32(&bytes[100], length);
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (i >= 100 && i < 104) continue;
      std::vector<std::byte> changed = bytes;
      changed[i] ^= std::byte{0xa5};
      ExpectIdentity(changed);
    }
  }
}

TEST(HeaderTest, CutShortAnywhere) {
  const std::vector<std::byte> bytes = CreatedByQemuImg();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::span<const std::byte> cut(bytes.data(), size);
    const Header header = Header::Decode(cut);
    EXPECT_NE(header.bytes_missing, 0u) << size;
    EXPECT_NE(HeaderIssues(header) & kHeaderCutShort, 0u) << size;
    ExpectIdentity(cut);
  }
}

TEST(HeaderTest, RandomBytesRoundTrip) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::byte> bytes(random() % 200);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    ExpectIdentity(bytes);
  }
}

TEST(HeaderTest, KeepsUnknownTailAndNoMoreThanThereIs) {
  std::vector<std::byte> bytes = CreatedByQemuImg();
  bytes.resize(130, std::byte{7});
  StoreBe32(&bytes[100], 120);
  EXPECT_EQ(Header::Decode(bytes).unknown_tail,
            std::vector<std::byte>(8, std::byte{7}));
  StoreBe32(&bytes[100], 0xfffffff8);
  const Header header = Header::Decode(bytes);
  EXPECT_EQ(header.unknown_tail.size(), 18u);
  EXPECT_EQ(header.bytes_missing, 0xfffffff8u - 130);
}

TEST(HeaderTest, RecognisesTheFirstDraftOfVersion3) {
  std::vector<std::byte> draft = CreatedByQemuImg();
  StoreBe32(&draft[100], 0);
  for (uint32_t bits = 1; bits <= 64; bits *= 2) {
    StoreBe32(&draft[84], bits);
    EXPECT_TRUE(LooksLikeDraftV3(Header::Decode(draft))) << bits;
  }
  for (uint32_t bits : {0u, 3u, 128u}) {
    StoreBe32(&draft[84], bits);
    EXPECT_FALSE(LooksLikeDraftV3(Header::Decode(draft))) << bits;
  }
  std::vector<std::byte> shipped = CreatedByQemuImg();
  StoreBe32(&shipped[84], 1);
  EXPECT_FALSE(LooksLikeDraftV3(Header::Decode(shipped)));
}

struct VerdictCase {
  const char* name;
  uint64_t issues;
  std::function<void(Header&)> damage;
};

const VerdictCase kVerdicts[] = {
    {"magic", kHeaderBadMagic, [](Header& h) { h.magic ^= 1; }},
    {"version 1", kHeaderBadVersion, [](Header& h) { h.version = 1; }},
    {"version 4", kHeaderBadVersion, [](Header& h) { h.version = 4; }},
    {"cluster bits 8", kHeaderBadClusterBits,
     [](Header& h) { h.cluster_bits = 8; }},
    {"cluster bits of extended L2", kHeaderBadClusterBits,
     [](Header& h) {
       h.cluster_bits = 13;
       h.incompatible_features = kIncompatibleExtendedL2;
     }},
    {"refcount order", kHeaderBadRefcountOrder,
     [](Header& h) { h.refcount_order = 7; }},
    {"length below 104", kHeaderBadLength,
     [](Header& h) { h.header_length = 96; }},
    {"length not a multiple of 8", kHeaderBadLength,
     [](Header& h) { h.header_length = 108; }},
    {"length beyond cluster 0", kHeaderBadLength,
     [](Header& h) { h.header_length = 65544; }},
    {"padding", kHeaderPaddingNotZero,
     [](Header& h) { h.padding[6] = std::byte{1}; }},
    {"unknown incompatible", kHeaderUnknownIncompatible,
     [](Header& h) { h.incompatible_features = 1 << 5; }},
    {"known incompatible", 0,
     [](Header& h) { h.incompatible_features = kIncompatibleDirty; }},
    {"unknown compatible", 0, [](Header& h) { h.compatible_features = 2; }},
    {"unknown autoclear", kHeaderUnknownAutoclear,
     [](Header& h) { h.autoclear_features = 4; }},
    {"unknown compression",
     kHeaderUnknownCompression | kHeaderCompressionAgainstFeature,
     [](Header& h) { h.compression_type = 2; }},
    {"zstd without its bit", kHeaderCompressionAgainstFeature,
     [](Header& h) { h.compression_type = kCompressionZstd; }},
    {"bit without zstd", kHeaderCompressionAgainstFeature,
     [](Header& h) { h.incompatible_features = kIncompatibleCompressionType; }},
    {"zstd", 0,
     [](Header& h) {
       h.compression_type = kCompressionZstd;
       h.incompatible_features = kIncompatibleCompressionType;
     }},
    {"crypt method", kHeaderUnknownCrypt,
     [](Header& h) { h.crypt_method = 3; }},
    {"backing name", 0,
     [](Header& h) {
       h.backing_file_offset = HostOffset(65536 - 1023);
       h.backing_file_size = 1023;
     }},
    {"backing name too long", kHeaderBackingNameTooLong,
     [](Header& h) {
       h.backing_file_offset = HostOffset(1024);
       h.backing_file_size = 1024;
     }},
    {"backing name past cluster 0", kHeaderBackingNameOutside,
     [](Header& h) {
       h.backing_file_offset = HostOffset(65536 - 1022);
       h.backing_file_size = 1023;
     }},
    {"backing name at the end of everything", kHeaderBackingNameOutside,
     [](Header& h) { h.backing_file_offset = HostOffset(~uint64_t{0}); }},
    {"backing name in the header", kHeaderBackingNameOutside,
     [](Header& h) { h.backing_file_offset = HostOffset(104); }},
    {"L1 unaligned", kHeaderL1Unaligned,
     [](Header& h) { h.l1_table_offset += 512; }},
    {"L1 too large", kHeaderL1TooLarge,
     [](Header& h) { h.l1_size = (4u << 20) + 1; }},
    {"largest L1", 0, [](Header& h) { h.l1_size = 4u << 20; }},
    {"L1 too small", kHeaderL1TooSmall, [](Header& h) { h.l1_size = 1; }},
    {"refcount table unaligned", kHeaderRefcountTableUnaligned,
     [](Header& h) { h.refcount_table_offset += 8; }},
    {"no refcount table", kHeaderRefcountTableEmpty,
     [](Header& h) { h.refcount_table_clusters = 0; }},
    {"refcount table too large", kHeaderRefcountTableTooLarge,
     [](Header& h) { h.refcount_table_clusters = 129; }},
    {"largest refcount table", 0,
     [](Header& h) { h.refcount_table_clusters = 128; }},
    {"too many snapshots", kHeaderTooManySnapshots,
     [](Header& h) { h.nb_snapshots = 65537; }},
    {"snapshot table unaligned", kHeaderSnapshotsUnaligned,
     [](Header& h) {
       h.nb_snapshots = 1;
       h.snapshots_offset = HostOffset(512);
     }},
    {"unaligned offset of no snapshots", 0,
     [](Header& h) { h.snapshots_offset = HostOffset(512); }},
    {"raw without data file", kHeaderRawDataWithoutDataFile,
     [](Header& h) { h.autoclear_features = kAutoclearRawData; }},
    {"raw with backing file", kHeaderRawDataWithBackingFile,
     [](Header& h) {
       h.autoclear_features = kAutoclearRawData;
       h.incompatible_features = kIncompatibleDataFile;
       h.backing_file_offset = HostOffset(1024);
     }},
};

TEST(HeaderTest, Verdicts) {
  for (const VerdictCase& c : kVerdicts) {
    Header header = Header::Decode(CreatedByQemuImg());
    c.damage(header);
    EXPECT_EQ(HeaderIssues(header), c.issues) << c.name;
  }
}

}  // namespace
}  // namespace qcow2
