// Amending, committing and rebasing images: the checker and qemu-img find them
// clean, and every disk and snapshot reads as before.
#include "engine/operations/amend.h"

#include <filesystem>
#include <string>
#include <vector>

#include "engine/image/image_chain.h"
#include "engine/operations/commit.h"
#include "engine/operations/rebase.h"
#include "gtest/gtest.h"
#include "tests/differential/qemu_img.h"
#include "tests/operations/scene.h"

namespace qcow2 {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kDiskBytes = 5 * kMiB + 512;

class OperationTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HaveQemuImg()) GTEST_SKIP() << "qemu-img is not installed";
  }

  // An image with these options of qemu-img, with data, zeros of both kinds and
  // a snapshot that shares some of them. `reference.raw` is what it reads as.
  void Make(const std::string& options) {
    std::filesystem::remove(scene_.Path("image"));
    scene_.MakeRaw("base.raw", 4 * kMiB, 31);
    ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 " + options + " image " +
                             std::to_string(kDiskBytes)),
              "");
    ASSERT_EQ(scene_.QemuIo("-c 'write -P 5 1M 700k' -c 'write -z 1100k 128k'"
                            " -c 'write -z -u 1300k 128k'"
                            " -c 'write -z -u 3M 300k' image"),
              "");
    ASSERT_EQ(scene_.QemuImg("snapshot -c first image"), "");
    ASSERT_EQ(scene_.QemuImg("convert -f qcow2 -O raw image first.raw"), "");
    ASSERT_EQ(scene_.QemuIo("-c 'write -P 6 1200k 300k' -c 'write -z -u 2M 64k'"
                            " -c 'write -z 2500k 500k' image"),
              "");
    ASSERT_EQ(scene_.QemuImg("convert -f qcow2 -O raw image reference.raw"),
              "");
  }

  void ExpectDiskUnchanged() {
    EXPECT_EQ(scene_.Complaints("image"), "");
    EXPECT_EQ(scene_.Differences("image", "qcow2", "reference.raw", "raw"), "");
  }
  void ExpectUnchanged() {
    ExpectDiskUnchanged();
    ASSERT_EQ(scene_.QemuImg("convert -l snapshot.name=first -f qcow2 -O raw"
                             " image now.raw"),
              "");
    EXPECT_EQ(scene_.Differences("now.raw", "raw", "first.raw", "raw"), "");
  }

  absl::Status Amend(const AmendOptions& options) {
    return AmendImage(scene_.Path("image"), {}, options);
  }

  Header HeaderNow() {
    const auto image = OpenImage(scene_.Path("image"), {});
    EXPECT_TRUE(image.ok()) << image.status();
    return (*image)->header_area().header;
  }

  Scene scene_;
};

TEST_F(OperationTest, AmendGoesThroughTheVersions) {
  for (const std::string options :
       {"", "-o cluster_size=512", "-b base.raw -F raw",
        "-b base.raw -F raw -o cluster_size=4k",
        "-o cluster_size=2M,lazy_refcounts=on"}) {
    SCOPED_TRACE(options);
    Make(options);
    ASSERT_EQ(Amend({.version = 2}), absl::OkStatus());
    EXPECT_EQ(HeaderNow().version, 2u);
    ExpectUnchanged();
    ASSERT_EQ(Amend({.version = 3, .lazy_refcounts = true}), absl::OkStatus());
    EXPECT_EQ(HeaderNow().version, 3u);
    EXPECT_EQ(HeaderNow().compatible_features, kCompatibleLazyRefcounts);
    ExpectUnchanged();
    ASSERT_EQ(Amend({.refcount_bits = 64, .lazy_refcounts = false}),
              absl::OkStatus());
    EXPECT_EQ(HeaderNow().compatible_features, 0u);
    ExpectUnchanged();
    ASSERT_EQ(Amend({.version = 2, .refcount_bits = 16}), absl::OkStatus());
    ExpectUnchanged();
  }
}

TEST_F(OperationTest, AmendUpgradesWhatQemuImgMade) {
  Make("-o compat=0.10");
  ASSERT_EQ(Amend({.version = 3}), absl::OkStatus());
  ExpectUnchanged();
  // It can be used as any other.
  ASSERT_EQ(scene_.QemuImg("snapshot -c second image"), "");
  ASSERT_EQ(scene_.QemuImg("snapshot -d first image"), "");
  EXPECT_EQ(scene_.Complaints("image"), "");
}

TEST_F(OperationTest, AmendChangesTheRefcountWidth) {
  for (const std::string options : {"-o cluster_size=512", ""}) {
    Make(options);
    for (const uint32_t bits : {2u, 64u, 4u, 32u, 8u, 16u}) {
      SCOPED_TRACE(bits);
      ASSERT_EQ(Amend({.refcount_bits = bits}), absl::OkStatus());
      EXPECT_EQ(1u << HeaderNow().refcount_order, bits);
      ExpectUnchanged();
    }
    // The snapshot shares clusters: one bit cannot count that.
    EXPECT_TRUE(absl::IsOutOfRange(Amend({.refcount_bits = 1})));
    ExpectUnchanged();
  }
}

TEST_F(OperationTest, AmendRefusesWhatVersion2CannotHave) {
  for (const std::string options :
       {"-o extended_l2=on", "-o compression_type=zstd",
        "-o refcount_bits=8"}) {
    SCOPED_TRACE(options);
    Make(options);
    EXPECT_TRUE(absl::IsFailedPrecondition(Amend({.version = 2})));
    ExpectUnchanged();
  }
  EXPECT_TRUE(
      absl::IsInvalidArgument(Amend({.version = 2, .refcount_bits = 32})));
  EXPECT_TRUE(absl::IsInvalidArgument(Amend({.version = 4})));
}

TEST_F(OperationTest, AmendRenamesTheBackingFile) {
  Make("-b base.raw -F raw");
  std::filesystem::rename(scene_.Path("base.raw"), scene_.Path("moved.raw"));
  ASSERT_EQ(Amend({.backing_file = "./moved.raw"}), absl::OkStatus());
  ExpectUnchanged();
  EXPECT_TRUE(
      absl::IsInvalidArgument(Amend({.backing_file = std::string(1024, 'x')})));
  ExpectUnchanged();
}

TEST_F(OperationTest, CommitPutsEverythingIntoTheBackingFile) {
  for (const std::string format : {"raw", "qcow2"}) {
    SCOPED_TRACE(format);
    scene_.MakeRaw("source.raw", 3 * kMiB, 33);
    ASSERT_EQ(
        scene_.QemuImg("convert -f raw -O " + format + " source.raw base"), "");
    Make("-b base -F " + format);
    ASSERT_EQ(CommitImageAt(scene_.Path("image"), {}, {}), absl::OkStatus());
    ExpectDiskUnchanged();
    EXPECT_EQ(scene_.Differences("base", format, "reference.raw", "raw"), "");
    if (format == "qcow2") {
      EXPECT_EQ(scene_.Complaints("base"), "");
    }
    const auto image = OpenImage(scene_.Path("image"), {});
    ASSERT_TRUE(image.ok()) << image.status();
    const auto extent = (*image)->ExtentAt(0, kDiskBytes);
    ASSERT_TRUE(extent.ok()) << extent.status();
    EXPECT_EQ(extent->kind, GuestExtentKind::kUnallocated);
    EXPECT_EQ(extent->length_bytes, kDiskBytes);
  }
}

TEST_F(OperationTest, CommitNeedsABackingFile) {
  Make("");
  EXPECT_TRUE(
      absl::IsFailedPrecondition(CommitImageAt(scene_.Path("image"), {}, {})));
}

class RebaseTest : public OperationTest {
 protected:
  absl::Status Rebase(const RebaseOptions& options) {
    return RebaseImageAt(scene_.Path("image"), {}, options);
  }
};

TEST_F(RebaseTest, KeepsWhatTheNewBackingFileHasDifferent) {
  for (const std::string options :
       {"", "-o cluster_size=4k", "-o compat=0.10", "-o extended_l2=on"}) {
    SCOPED_TRACE(options);
    Make("-b base.raw -F raw " + options);
    scene_.MakeRaw("other.raw", 5 * kMiB, 34);
    ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 -b base.raw -F raw other"),
              "");
    ASSERT_EQ(scene_.QemuIo("-c 'write -P 9 512k 64k' other"), "");
    ASSERT_EQ(Rebase({.backing_file = "other", .backing_format = "qcow2"}),
              absl::OkStatus());
    ExpectDiskUnchanged();
    ASSERT_EQ(Rebase({.backing_file = "", .backing_format = ""}),
              absl::OkStatus());
    ExpectDiskUnchanged();
    ASSERT_EQ(Rebase({.backing_file = "other.raw", .backing_format = "raw"}),
              absl::OkStatus());
    ExpectDiskUnchanged();
  }
}

TEST_F(RebaseTest, ZerosStayZerosOverANewBackingFile) {
  for (const std::string options : {"", "-o compat=0.10"}) {
    Make(options);
    ASSERT_EQ(Rebase({.backing_file = "base.raw", .backing_format = "raw"}),
              absl::OkStatus());
    ExpectDiskUnchanged();
  }
}

TEST_F(RebaseTest, UnsafelyOnlyTheNameChanges) {
  Make("-b base.raw -F raw");
  ASSERT_EQ(Rebase({.backing_file = "nowhere.raw",
                    .backing_format = "raw",
                    .unsafe = true}),
            absl::OkStatus());
  std::filesystem::rename(scene_.Path("base.raw"), scene_.Path("nowhere.raw"));
  ExpectUnchanged();
}

TEST_F(RebaseTest, OntoItselfIsACycle) {
  Make("-b base.raw -F raw");
  ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 -b image -F qcow2 above"), "");
  for (const std::string name : {"image", "above"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        Rebase({.backing_file = name, .backing_format = "qcow2"})));
  }
  ExpectUnchanged();
}

}  // namespace
}  // namespace qcow2
