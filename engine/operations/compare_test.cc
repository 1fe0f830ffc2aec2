#include "engine/operations/compare.h"

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/image/raw_disk.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

constexpr uint64_t kDiskBytes = uint64_t{3} << 20;

std::unique_ptr<RawDisk> Raw(std::vector<std::byte> bytes) {
  return *RawDisk::Open(std::make_unique<MemoryFile>(std::move(bytes)), false);
}

std::unique_ptr<Image> NewImage() {
  CreateOptions create;
  create.virtual_size = kDiskBytes;
  auto file = std::make_unique<MemoryFile>();
  EXPECT_EQ(CreateImage(*file, nullptr, create), absl::OkStatus());
  ImageOptions options;
  options.writable = true;
  return *Image::Open(std::move(file), std::move(options));
}

CompareResult Compare(GuestDisk& a, GuestDisk& b, bool strict = false) {
  CompareOptions options;
  options.strict = strict;
  const auto result = CompareDisks(a, b, options);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(CompareResult());
}

TEST(CompareDisksTest, FindsTheFirstByteThatDiffers) {
  std::vector<std::byte> bytes(kDiskBytes, std::byte{1});
  const auto a = Raw(bytes);
  EXPECT_EQ(Compare(*a, *Raw(bytes)).difference, DiskDifference::kNone);
  bytes[kDiskBytes - 1] = std::byte{2};
  bytes[2'000'001] = std::byte{2};
  const CompareResult result = Compare(*a, *Raw(bytes));
  EXPECT_EQ(result.difference, DiskDifference::kContents);
  EXPECT_EQ(result.offset, 2'000'001u);
}

TEST(CompareDisksTest, NothingIsTheSameAsZeros) {
  const auto image = NewImage();
  std::vector<std::byte> bytes(kDiskBytes);
  EXPECT_EQ(Compare(*image, *Raw(bytes)).difference, DiskDifference::kNone);
  bytes[70'000] = std::byte{2};
  EXPECT_EQ(Compare(*image, *Raw(bytes)).offset, 70'000u);
  EXPECT_EQ(Compare(*Raw(bytes), *image).offset, 70'000u);
}

TEST(CompareDisksTest, ALongerDiskIsTheSameIfItGoesOnWithZeros) {
  const auto a = Raw(std::vector<std::byte>(1000));
  std::vector<std::byte> longer(5000);
  CompareResult result = Compare(*a, *Raw(longer));
  EXPECT_EQ(result.difference, DiskDifference::kNone);
  EXPECT_FALSE(result.same_size);
  EXPECT_EQ(Compare(*a, *Raw(longer), true).difference, DiskDifference::kSize);
  longer[4000] = std::byte{1};
  result = Compare(*Raw(longer), *a);
  EXPECT_EQ(result.difference, DiskDifference::kContents);
  EXPECT_EQ(result.offset, 4000u);
}

TEST(CompareDisksTest, CanBeCancelled) {
  const auto disk = Raw(std::vector<std::byte>(kDiskBytes, std::byte{1}));
  const auto shorter = Raw(std::vector<std::byte>(1000));
  const auto cancelled = [](GuestDisk& a, GuestDisk& b) {
    std::atomic<bool> cancel = false;
    CompareOptions options;
    options.control.cancel = &cancel;
    options.control.progress = [&](uint64_t, uint64_t) { cancel = true; };
    return absl::IsCancelled(CompareDisks(a, b, options).status());
  };
  EXPECT_TRUE(cancelled(*disk, *disk));
  EXPECT_TRUE(cancelled(*shorter, *Raw(std::vector<std::byte>(kDiskBytes))));
}

TEST(CompareDisksTest, StrictlyTheAllocationCountsToo) {
  const auto a = NewImage();
  const auto b = NewImage();
  EXPECT_EQ(Compare(*a, *b, true).difference, DiskDifference::kNone);
  ASSERT_EQ(b->Write(kDiskBytes / 2, std::vector<std::byte>(65536)),
            absl::OkStatus());
  EXPECT_EQ(Compare(*a, *b).difference, DiskDifference::kNone);
  const CompareResult result = Compare(*a, *b, true);
  EXPECT_EQ(result.difference, DiskDifference::kAllocation);
  EXPECT_EQ(result.offset, kDiskBytes / 2);
}

}  // namespace
}  // namespace qcow2
