// Converting next to qemu-img's: what it made is converted to what it reads the
// same, for every kind of source and target.
#include "engine/operations/convert.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "engine/image/image_chain.h"
#include "engine/image/snapshot_disk.h"
#include "engine/operations/compare.h"
#include "engine/status_macros.h"
#include "gtest/gtest.h"
#include "tests/differential/qemu_img.h"
#include "tests/operations/scene.h"

namespace qcow2 {
namespace {

constexpr uint64_t kDiskBytes = (uint64_t{7} << 20) + 1536;

class ConvertTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HaveQemuImg()) GTEST_SKIP() << "qemu-img is not installed";
    scene_.MakeRaw("disk.raw", kDiskBytes, 11);
  }

  absl::Status Convert(const std::string& from, DiskFormat format,
                       const std::string& to, const ConvertOptions& options) {
    ASSIGN_OR_RETURN(const std::unique_ptr<GuestDisk> source,
                     OpenDisk(scene_.Path(from), format, {}));
    return ConvertDisk(*source, scene_.Path(to), options);
  }

  // Converts the raw disk to an image and back, and has both looked at.
  void GoThrough(const ConvertOptions& options) {
    ASSERT_EQ(Convert("disk.raw", DiskFormat::kRaw, "ours", options),
              absl::OkStatus());
    EXPECT_EQ(scene_.Complaints("ours"), "");
    EXPECT_EQ(scene_.Differences("disk.raw", "raw", "ours", "qcow2"), "");
    ConvertOptions raw;
    raw.format = DiskFormat::kRaw;
    ASSERT_EQ(Convert("ours", DiskFormat::kQcow2, "back.raw", raw),
              absl::OkStatus());
    EXPECT_EQ(scene_.Differences("disk.raw", "raw", "back.raw", "raw"), "");
  }

  Scene scene_;
};

TEST_F(ConvertTest, ToImagesOfEveryKind) {
  for (const uint32_t cluster_bits : {9u, 12u, 16u, 21u}) {
    for (const uint32_t version : {2u, 3u}) {
      for (const bool compressed : {false, true}) {
        SCOPED_TRACE(testing::Message()
                     << "2^" << cluster_bits << " bytes a cluster, version "
                     << version << (compressed ? ", compressed" : ""));
        ConvertOptions options;
        options.create.cluster_bits = cluster_bits;
        options.create.version = version;
        options.compressed = compressed;
        GoThrough(options);
      }
    }
  }
}

TEST_F(ConvertTest, ToExtendedL2EntriesZstdAndNarrowRefcounts) {
  ConvertOptions options;
  options.create.extended_l2 = true;
  options.create.refcount_bits = 64;
  GoThrough(options);
  options.create.refcount_bits = 1;
  GoThrough(options);
  options.create.refcount_bits = 16;
  options.create.compression_type = CompressionType::kZstd;
  options.compressed = true;
  GoThrough(options);
}

TEST_F(ConvertTest, ToPreallocatedImagesAndDataFiles) {
  for (const Preallocation preallocation :
       {Preallocation::kMetadata, Preallocation::kFalloc,
        Preallocation::kFull}) {
    ConvertOptions options;
    options.create.preallocation = preallocation;
    GoThrough(options);
  }
  ConvertOptions options;
  options.create.data_file = "ours.data";
  options.create.data_file_raw = true;
  GoThrough(options);
  EXPECT_EQ(scene_.Differences("disk.raw", "raw", "ours.data", "raw"), "");
}

TEST_F(ConvertTest, FromWhatQemuImgMakes) {
  const std::vector<std::string> kinds = {
      "",
      "-o compat=0.10,cluster_size=4k",
      "-c",
      "-c -o compression_type=zstd,cluster_size=2M",
      "-o extended_l2=on",
      "-o preallocation=full",
      "-o data_file=theirs.data"};
  for (const std::string& kind : kinds) {
    SCOPED_TRACE(kind);
    ASSERT_EQ(
        scene_.QemuImg("convert -f raw -O qcow2 " + kind + " disk.raw theirs"),
        "");
    ConvertOptions raw;
    raw.format = DiskFormat::kRaw;
    ASSERT_EQ(Convert("theirs", DiskFormat::kQcow2, "back.raw", raw),
              absl::OkStatus());
    EXPECT_EQ(scene_.Differences("disk.raw", "raw", "back.raw", "raw"), "");
  }
}

TEST_F(ConvertTest, AChainBecomesOneImageOrStaysOverItsBase) {
  ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 -b disk.raw -F raw middle"), "");
  ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 -b middle -F qcow2 top 9M"), "");
  ASSERT_EQ(scene_.QemuIo("-c 'write -P 7 1000000 300000' -c 'write -z 2M 1M'"
                          " middle"),
            "");
  ASSERT_EQ(scene_.QemuIo("-c 'write -P 8 1200000 50000' -c 'write -z 2500k 1M'"
                          " -c 'write -P 9 8M 64k' top"),
            "");
  ASSERT_EQ(Convert("top", DiskFormat::kQcow2, "flat", {}), absl::OkStatus());
  EXPECT_EQ(scene_.Complaints("flat"), "");
  EXPECT_EQ(scene_.Differences("top", "qcow2", "flat", "qcow2"), "");
  ConvertOptions over;
  over.create.backing_file = "middle";
  over.create.backing_format = "qcow2";
  ASSERT_EQ(Convert("top", DiskFormat::kQcow2, "over", over), absl::OkStatus());
  EXPECT_EQ(scene_.Complaints("over"), "");
  EXPECT_EQ(scene_.Differences("top", "qcow2", "over", "qcow2"), "");
  ConvertOptions compressed = over;
  compressed.compressed = true;
  ASSERT_EQ(Convert("top", DiskFormat::kQcow2, "packed", compressed),
            absl::OkStatus());
  EXPECT_EQ(scene_.Differences("top", "qcow2", "packed", "qcow2"), "");
}

TEST_F(ConvertTest, ASnapshotTakesAlongWhatIsBelowIt) {
  ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 -b disk.raw -F raw top"), "");
  ASSERT_EQ(scene_.QemuIo("-c 'write -P 7 1000000 300000' top"), "");
  ASSERT_EQ(scene_.QemuImg("snapshot -c first top"), "");
  ASSERT_EQ(scene_.QemuImg("convert -f qcow2 -O raw top first.raw"), "");
  ASSERT_EQ(scene_.QemuIo("-c 'write -P 8 1M 1M' top"), "");
  const auto top = OpenImage(scene_.Path("top"), {});
  ASSERT_TRUE(top.ok()) << top.status();
  const auto first = SnapshotDisk::Open((*top)->core(), "first");
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ(ConvertDisk(**first, scene_.Path("ours"), {}), absl::OkStatus());
  EXPECT_EQ(scene_.Complaints("ours"), "");
  EXPECT_EQ(scene_.Differences("first.raw", "raw", "ours", "qcow2"), "");
}

TEST_F(ConvertTest, WhatWasThereBeforeDoesNotShowThrough) {
  scene_.MakeRaw("target", 2 * kDiskBytes, 12);
  ConvertOptions raw;
  raw.format = DiskFormat::kRaw;
  ASSERT_EQ(Convert("disk.raw", DiskFormat::kRaw, "target", raw),
            absl::OkStatus());
  EXPECT_EQ(scene_.Differences("disk.raw", "raw", "target", "raw"), "");
}

TEST_F(ConvertTest, OntoItselfIsRefusedAndHarmsNobody) {
  ASSERT_EQ(scene_.QemuImg("convert -f raw -O qcow2 disk.raw theirs"), "");
  EXPECT_TRUE(
      absl::IsUnavailable(Convert("theirs", DiskFormat::kQcow2, "theirs", {})));
  EXPECT_EQ(scene_.Differences("disk.raw", "raw", "theirs", "qcow2"), "");
}

TEST_F(ConvertTest, WhatFailsLeavesNoFile) {
  ConvertOptions options;
  const std::atomic<bool> cancel = true;
  options.control.cancel = &cancel;
  EXPECT_TRUE(absl::IsCancelled(
      Convert("disk.raw", DiskFormat::kRaw, "ours", options)));
  EXPECT_TRUE(absl::IsNotFound(OpenImage(scene_.Path("ours"), {}).status()));
}

TEST_F(ConvertTest, ComparingSaysWhatQemuImgSays) {
  ASSERT_EQ(scene_.QemuImg("convert -f raw -O qcow2 disk.raw one"), "");
  ASSERT_EQ(scene_.QemuImg("convert -c -f raw -O qcow2 disk.raw two"), "");
  {
    const auto one = OpenDisk(scene_.Path("one"), DiskFormat::kAuto, {});
    const auto two = OpenDisk(scene_.Path("two"), DiskFormat::kAuto, {});
    const auto same = CompareDisks(**one, **two, {});
    ASSERT_TRUE(same.ok()) << same.status();
    EXPECT_EQ(same->difference, DiskDifference::kNone);
  }
  ASSERT_EQ(scene_.QemuIo("-c 'write -P 0x55 3145729 7' two"), "");
  const auto one = OpenDisk(scene_.Path("one"), DiskFormat::kAuto, {});
  const auto two = OpenDisk(scene_.Path("two"), DiskFormat::kAuto, {});
  const auto different = CompareDisks(**one, **two, {});
  ASSERT_TRUE(different.ok()) << different.status();
  EXPECT_EQ(different->difference, DiskDifference::kContents);
  EXPECT_GE(different->offset, 3145729u);
  EXPECT_LT(different->offset, 3145736u);
}

}  // namespace
}  // namespace qcow2
