// Resizing images: the checker and qemu-img find them clean, every byte that
// stays reads as before, and what is added is zeros.
#include "engine/image/resize.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/image/image_chain.h"
#include "engine/status_macros.h"
#include "gtest/gtest.h"
#include "tests/differential/qemu_img.h"
#include "tests/operations/scene.h"

namespace qcow2 {
namespace {

using Bytes = std::vector<std::byte>;

constexpr uint64_t kMiB = uint64_t{1} << 20;
// Not a whole number of clusters.
constexpr uint64_t kDiskBytes = 5 * kMiB + 512;

class ResizeTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HaveQemuImg()) GTEST_SKIP() << "qemu-img is not installed";
  }

  // An image by qemu-img with these options, and mixed contents.
  void Make(const std::string& options) {
    scene_.MakeRaw("disk.raw", kDiskBytes, 21);
    ASSERT_EQ(scene_.QemuImg("convert -f raw -O qcow2 " + options +
                             " disk.raw image"),
              "");
  }

  absl::Status Change(const std::function<absl::Status(Image& image)>& change) {
    ChainOptions options;
    options.writable = true;
    ASSIGN_OR_RETURN(const std::unique_ptr<Image> image,
                     OpenImage(scene_.Path("image"), options));
    RETURN_IF_ERROR(change(*image));
    return image->Close();
  }

  absl::Status Resize(uint64_t size, const ResizeOptions& options = {}) {
    return Change(
        [&](Image& image) { return ResizeImage(image, size, options); });
  }

  Bytes Contents() {
    const auto image = OpenImage(scene_.Path("image"), {});
    EXPECT_TRUE(image.ok()) << image.status();
    Bytes bytes((*image)->size_bytes());
    EXPECT_EQ((*image)->Read(0, bytes), absl::OkStatus());
    return bytes;
  }

  // Resizes and looks at the outcome.
  void GoThrough(uint64_t size, const ResizeOptions& options) {
    Bytes expected = Contents();
    expected.resize(size);
    const absl::Status resized = Resize(size, options);
    ASSERT_EQ(resized, absl::OkStatus());
    EXPECT_EQ(scene_.Complaints("image"), "");
    EXPECT_EQ(Contents() == expected, true);
    // And by qemu-img's eyes.
    ASSERT_EQ(scene_.QemuImg("convert -f qcow2 -O raw image back.raw"), "");
    EXPECT_EQ(std::filesystem::file_size(scene_.Path("back.raw")), size);
    EXPECT_EQ(scene_.Differences("image", "qcow2", "back.raw", "raw"), "");
  }

  Scene scene_;
};

constexpr ResizeOptions kShrink = {.allow_shrink = true};

TEST_F(ResizeTest, GrowsAndShrinksImagesOfEveryKind) {
  const std::vector<std::string> kinds = {
      "-o cluster_size=512",     "-o cluster_size=4k,refcount_bits=1",
      "-o compat=0.10",          "-o extended_l2=on",
      "-c -o cluster_size=2M",   "-c -o cluster_size=4k",
      "-o data_file=image.data", "-o data_file=image.data,data_file_raw=on"};
  for (const std::string& kind : kinds) {
    SCOPED_TRACE(kind);
    std::filesystem::remove(scene_.Path("image"));
    Make(kind);
    GoThrough(9 * kMiB + 1024, {});
    GoThrough(3 * kMiB + 512, kShrink);
    GoThrough(6 * kMiB, {});
    GoThrough(0, kShrink);
    GoThrough(kMiB, {});
  }
}

TEST_F(ResizeTest, PreallocatesWhatIsAdded) {
  for (const std::string kind :
       {"-o cluster_size=4k", "-o compat=0.10", "-o extended_l2=on",
        "-o data_file=image.data"}) {
    for (const Preallocation preallocation :
         {Preallocation::kMetadata, Preallocation::kFalloc,
          Preallocation::kFull}) {
      SCOPED_TRACE(testing::Message()
                   << kind << ", " << static_cast<int>(preallocation));
      std::filesystem::remove(scene_.Path("image"));
      Make(kind);
      GoThrough(4 * kMiB, kShrink);
      GoThrough(20 * kMiB + 512, {.preallocation = preallocation});
      // Nothing more is needed to write there.
      const uint64_t before = std::filesystem::file_size(scene_.Path("image"));
      ASSERT_EQ(Change([](Image& image) {
                  return image.Write(8 * kMiB, Bytes(10 * kMiB, std::byte{7}));
                }),
                absl::OkStatus());
      EXPECT_EQ(std::filesystem::file_size(scene_.Path("image")), before);
      EXPECT_EQ(scene_.Complaints("image"), "");
    }
  }
}

TEST_F(ResizeTest, WhatALongerBackingFileHasDoesNotShow) {
  for (const std::string compat : {"0.10", "1.1"}) {
    SCOPED_TRACE(compat);
    scene_.MakeRaw("base.raw", 8 * kMiB, 22);
    ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 -o compat=" + compat +
                             " -b base.raw -F raw image " +
                             std::to_string(kDiskBytes)),
              "");
    ASSERT_EQ(scene_.QemuIo("-c 'write -P 3 5M 512' image"), "");
    GoThrough(9 * kMiB, {});
    GoThrough(2 * kMiB + 512, kShrink);
    GoThrough(7 * kMiB + 512, {});
  }
}

TEST_F(ResizeTest, AFileWithNothingAtItsEndBecomesShorter) {
  Make("");
  const uint64_t before = std::filesystem::file_size(scene_.Path("image"));
  GoThrough(kMiB, kShrink);
  EXPECT_LT(std::filesystem::file_size(scene_.Path("image")), before / 2);
}

TEST_F(ResizeTest, SnapshotsKeepTheirContentsAndSize) {
  Make("-o cluster_size=4k");
  ASSERT_EQ(scene_.QemuImg("snapshot -c first image"), "");
  GoThrough(2 * kMiB, kShrink);
  GoThrough(30 * kMiB, {});
  ASSERT_EQ(scene_.QemuImg("snapshot -a first image"), "");
  EXPECT_EQ(scene_.Complaints("image"), "");
  EXPECT_EQ(scene_.Differences("disk.raw", "raw", "image", "qcow2"), "");
}

TEST_F(ResizeTest, RefusalsChangeNothing) {
  Make("");
  EXPECT_TRUE(absl::IsFailedPrecondition(Resize(kMiB)));
  EXPECT_TRUE(absl::IsInvalidArgument(Resize(9 * kMiB + 1)));
  EXPECT_TRUE(absl::IsInvalidArgument(Resize(uint64_t{1} << 60)));
  EXPECT_TRUE(absl::IsInvalidArgument(Resize(
      kMiB, {.preallocation = Preallocation::kFull, .allow_shrink = true})));
  ASSERT_EQ(scene_.QemuImg("bitmap --add image b"), "");
  EXPECT_TRUE(absl::IsFailedPrecondition(Resize(0, {.allow_shrink = true})));
  EXPECT_EQ(scene_.Differences("disk.raw", "raw", "image", "qcow2"), "");
  std::filesystem::remove(scene_.Path("image"));
  Make("-o compat=0.10");
  ASSERT_EQ(scene_.QemuImg("snapshot -c first image"), "");
  EXPECT_TRUE(absl::IsFailedPrecondition(Resize(9 * kMiB)));
  EXPECT_EQ(scene_.Complaints("image"), "");
}

}  // namespace
}  // namespace qcow2
