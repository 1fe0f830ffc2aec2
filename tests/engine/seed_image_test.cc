// An image of 2 MiB with clusters of 4 KiB, which a partitioning tool
// made and another program dumped: written again in the same order, it becomes
// the same image, entry for entry.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/format/byte_order.h"
#include "engine/format/entry_flags.h"
#include "engine/format/header.h"
#include "engine/format/refcount_block.h"
#include "engine/image/image.h"
#include "engine/storage/posix_file.h"
#include "gtest/gtest.h"
#include "tests/differential/qemu_img.h"

namespace qcow2 {
namespace {

constexpr uint64_t kCluster = 4096;
constexpr uint64_t kSector = 512;
constexpr uint64_t kL1Offset = 0x1000;
constexpr uint64_t kRefcountTableOffset = 0x2000;
constexpr uint64_t kRefcountBlockOffset = 0x3000;
// The dump's last entry that is not zero is that of guest cluster 103.
constexpr uint64_t kAllocatedClusters = 104;
// The tool's last sectors of tracks, and then the first of the disk.
constexpr uint64_t kFirstSector = 63;
constexpr uint64_t kLastSector = 567;

Header HeaderOfTheLog() {
  Header header;
  header.version = 2;
  header.header_length = kHeaderLengthV2;
  header.cluster_bits = 12;
  header.size = 0x200000;
  header.l1_size = 1;
  header.l1_table_offset = HostOffset(kL1Offset);
  header.refcount_table_offset = HostOffset(kRefcountTableOffset);
  header.refcount_table_clusters = 1;
  return header;
}

// What the log shows before the first write: a header, an empty L1 table, a
// refcount table with one block, and in it the four clusters of all that.
std::vector<std::byte> ImageOfTheLog() {
  std::vector<std::byte> bytes(4 * kCluster);
  const std::vector<std::byte> header = HeaderOfTheLog().Encode();
  std::copy(header.begin(), header.end(), bytes.begin());
  StoreBe64(&bytes[kRefcountTableOffset], kRefcountBlockOffset);
  const std::span<std::byte> block(&bytes[kRefcountBlockOffset], kCluster);
  for (uint64_t cluster = 0; cluster < 4; ++cluster) {
    SetRefcount(block, kRefcountOrderV2, cluster, 1);
  }
  return bytes;
}

// Where the dump has each guest cluster: the nine that the tool wrote first,
// one a track of 63 sectors, lie from 0x5000 on, the disk's first one behind
// them, then all others in ascending order.
std::vector<uint64_t> OffsetsOfTheDump() {
  std::vector<uint64_t> offsets(kAllocatedClusters);
  uint64_t next = 0x5000;
  for (uint64_t sector = kFirstSector; sector <= kLastSector; sector += 63) {
    offsets[sector * kSector / kCluster] = next;
    next += kCluster;
  }
  for (uint64_t& offset : offsets) {
    if (offset != 0) continue;
    offset = next;
    next += kCluster;
  }
  return offsets;
}

class SeedImageTest : public ::testing::Test {
 protected:
  SeedImageTest() {
    char name[] = "/tmp/seed-image-XXXXXX";
    const int descriptor = mkstemp(name);
    EXPECT_GE(descriptor, 0);
    close(descriptor);
    path_ = name;
  }
  ~SeedImageTest() override { std::filesystem::remove(path_); }

  void WriteTheImageOfTheLog() {
    auto file = PosixFile::Open(path_, {.writable = true});
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Pwrite(0, ImageOfTheLog()).ok());
  }
  void Open() {
    auto file = PosixFile::Open(path_, {.writable = true});
    ASSERT_TRUE(file.ok()) << file.status();
    ImageOptions options;
    options.writable = true;
    auto image = Image::Open(*std::move(file), std::move(options));
    ASSERT_TRUE(image.ok()) << image.status();
    image_ = *std::move(image);
  }
  void WriteSector(uint64_t sector) {
    const std::vector<std::byte> data(kSector,
                                      static_cast<std::byte>(sector | 1));
    const absl::Status status = image_->Write(sector * kSector, data);
    ASSERT_TRUE(status.ok()) << status;
  }
  std::vector<uint64_t> Table(uint64_t offset) const {
    std::vector<std::byte> bytes(kCluster);
    auto file = PosixFile::Open(path_);
    EXPECT_TRUE(file.ok()) << file.status();
    EXPECT_TRUE((*file)->Pread(offset, bytes).ok());
    std::vector<uint64_t> entries;
    for (uint64_t i = 0; i < kCluster; i += 8) {
      entries.push_back(LoadBe64(&bytes[i]));
    }
    return entries;
  }

  std::string path_;
  std::unique_ptr<Image> image_;
};

TEST_F(SeedImageTest, TheSameWritesMakeTheSameTables) {
  WriteTheImageOfTheLog();
  Open();
  for (uint64_t sector = kFirstSector; sector <= kLastSector; sector += 63) {
    WriteSector(sector);
  }
  WriteSector(1);
  for (uint64_t cluster = 1; cluster < kAllocatedClusters; ++cluster) {
    WriteSector(cluster * kCluster / kSector);
  }
  ASSERT_TRUE(image_->Close().ok());

  std::vector<uint64_t> l1(kCluster / 8);
  l1[0] = kCopiedFlag | 0x4000;
  EXPECT_EQ(Table(kL1Offset), l1);
  std::vector<uint64_t> l2(kCluster / 8);
  const std::vector<uint64_t> offsets = OffsetsOfTheDump();
  for (uint64_t i = 0; i < offsets.size(); ++i) {
    l2[i] = kCopiedFlag | offsets[i];
  }
  EXPECT_EQ(Table(0x4000), l2);
  // Places that the dump and the log name themselves.
  EXPECT_EQ(l2[0], 0x800000000000e000);
  EXPECT_EQ(l2[7], 0x8000000000005000);
  EXPECT_EQ(l2[70], 0x800000000000d000);
  EXPECT_EQ(l2[103], 0x800000000006c000);
}

TEST_F(SeedImageTest, QemuFindsItClean) {
  if (!HaveQemuImg()) GTEST_SKIP() << "no qemu-img";
  WriteTheImageOfTheLog();
  Open();
  for (uint64_t cluster = 0; cluster < kAllocatedClusters; ++cluster) {
    WriteSector(cluster * kCluster / kSector);
  }
  ASSERT_TRUE(image_->Close().ok());
  const QemuVerdict verdict = QemuCheck(path_);
  EXPECT_EQ(verdict.exit_code, 0);
  EXPECT_EQ(verdict.corruptions, 0);
  EXPECT_EQ(verdict.leaks, 0);
  EXPECT_EQ(verdict.allocated_clusters, kAllocatedClusters);
  EXPECT_EQ(verdict.image_end_offset, 0x6d000);
}

}  // namespace
}  // namespace qcow2
