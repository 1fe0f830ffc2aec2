#include "engine/operations/copy.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "engine/image/create.h"
#include "engine/image/raw_disk.h"
#include "engine/storage/faulty_file.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

constexpr uint64_t kDiskBytes = (uint64_t{5} << 20) + 512;

// Stretches of noise, of one letter and of zeros, at any byte.
std::vector<std::byte> Contents(uint64_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(size);
  for (uint64_t at = 0; at < size;) {
    const uint64_t length = std::min(1 + random() % 200'000, size - at);
    const uint64_t kind = random() % 3;
    for (uint64_t i = 0; i < length && kind != 0; ++i) {
      bytes[at + i] = static_cast<std::byte>(kind == 1 ? random() : 'x');
    }
    at += length;
  }
  return bytes;
}

std::unique_ptr<RawDisk> Raw(std::vector<std::byte> bytes,
                             bool writable = false) {
  return *RawDisk::Open(std::make_unique<MemoryFile>(std::move(bytes)),
                        writable);
}

std::unique_ptr<Image> NewImage(
    uint64_t size = kDiskBytes,
    CompressionType type = CompressionType::kDeflate,
    std::shared_ptr<GuestDisk> backing = nullptr) {
  CreateOptions create;
  create.virtual_size = size;
  create.compression_type = type;
  auto file = std::make_unique<MemoryFile>();
  EXPECT_EQ(CreateImage(*file, nullptr, create), absl::OkStatus());
  ImageOptions options;
  options.writable = true;
  options.backing = std::move(backing);
  return *Image::Open(std::move(file), std::move(options));
}

std::vector<std::byte> All(GuestDisk& disk) {
  std::vector<std::byte> bytes(disk.size_bytes());
  EXPECT_EQ(disk.Read(0, bytes), absl::OkStatus());
  return bytes;
}

uint64_t BytesOfKind(GuestDisk& disk, GuestExtentKind kind) {
  uint64_t bytes = 0;
  for (uint64_t at = 0; at < disk.size_bytes();) {
    const auto extent = disk.ExtentAt(at, disk.size_bytes() - at);
    EXPECT_TRUE(extent.ok()) << extent.status();
    if (extent->kind == kind) bytes += extent->length_bytes;
    at += extent->length_bytes;
  }
  return bytes;
}

TEST(CopyDiskTest, CopiesEveryByteWithAnyNumberOfThreads) {
  const std::vector<std::byte> contents = Contents(kDiskBytes, 1);
  for (const unsigned threads : {1u, 2u, 5u}) {
    const auto source = Raw(contents);
    const auto image = NewImage();
    CopyOptions options;
    options.threads = threads;
    options.target_reads_zeros = true;
    ASSERT_EQ(CopyDisk(*source, *image, options), absl::OkStatus());
    EXPECT_EQ(All(*image), contents);
    const auto back = Raw(std::vector<std::byte>(kDiskBytes), true);
    ASSERT_EQ(CopyDisk(*image, *back, options), absl::OkStatus());
    EXPECT_EQ(All(*back), contents);
  }
}

TEST(CopyDiskTest, WhatTheTargetHeldIsOverwritten) {
  const std::vector<std::byte> contents = Contents(kDiskBytes, 2);
  const auto image = NewImage();
  ASSERT_EQ(image->Write(0, std::vector<std::byte>(kDiskBytes, std::byte{9})),
            absl::OkStatus());
  ASSERT_EQ(CopyDisk(*Raw(contents), *image, {}), absl::OkStatus());
  EXPECT_EQ(All(*image), contents);
}

TEST(CopyDiskTest, ZerosInTheDataTakeNoSpaceUnlessAskedFor) {
  std::vector<std::byte> contents(kDiskBytes);
  contents[kDiskBytes / 2] = std::byte{1};
  CopyOptions options;
  options.target_reads_zeros = true;
  const auto sparse = NewImage();
  ASSERT_EQ(CopyDisk(*Raw(contents), *sparse, options), absl::OkStatus());
  EXPECT_EQ(BytesOfKind(*sparse, GuestExtentKind::kData), 65536u);
  options.sparse_block_bytes = 0;
  const auto full = NewImage();
  ASSERT_EQ(CopyDisk(*Raw(contents), *full, options), absl::OkStatus());
  EXPECT_EQ(BytesOfKind(*full, GuestExtentKind::kData), kDiskBytes);
  EXPECT_EQ(All(*full), contents);
}

TEST(CopyDiskTest, OfTheFirstLayerOnlyLeavesTheRestToTheBackingDisk) {
  const std::shared_ptr<GuestDisk> base = Raw(Contents(kDiskBytes, 3));
  const auto source = NewImage(kDiskBytes, CompressionType::kDeflate, base);
  ASSERT_EQ(source->Write(100'000, std::vector<std::byte>(10, std::byte{7})),
            absl::OkStatus());
  ASSERT_EQ(source->WriteZeroes(300'000, 200'000, ZeroMode::kUnmap),
            absl::OkStatus());
  const auto target = NewImage(kDiskBytes, CompressionType::kDeflate, base);
  CopyOptions options;
  options.first_layer_only = true;
  ASSERT_EQ(CopyDisk(*source, *target, options), absl::OkStatus());
  EXPECT_EQ(All(*target), All(*source));
  EXPECT_GT(BytesOfKind(*target, GuestExtentKind::kUnallocated),
            kDiskBytes * 3 / 4);
}

TEST(CopyDiskTest, ATargetThatIsTooSmallIsRefused) {
  const auto small = Raw(std::vector<std::byte>(512), true);
  EXPECT_TRUE(absl::IsInvalidArgument(
      CopyDisk(*Raw(std::vector<std::byte>(513)), *small, {})));
}

TEST(CopyDiskTest, ProgressEndsWithTheWholeDisk) {
  const auto image = NewImage();
  uint64_t last = 0;
  CopyOptions options;
  options.target_reads_zeros = true;
  options.control.progress = [&](uint64_t done, uint64_t total) {
    EXPECT_GE(done, last);
    EXPECT_EQ(total, kDiskBytes);
    last = done;
  };
  ASSERT_EQ(CopyDisk(*Raw(Contents(kDiskBytes, 4)), *image, options),
            absl::OkStatus());
  EXPECT_EQ(last, kDiskBytes);
}

TEST(CopyDiskTest, CanBeCancelled) {
  const auto image = NewImage();
  std::atomic<bool> cancel = false;
  CopyOptions options;
  options.control.cancel = &cancel;
  options.control.progress = [&](uint64_t, uint64_t) { cancel = true; };
  EXPECT_TRUE(absl::IsCancelled(
      CopyDisk(*Raw(Contents(kDiskBytes, 5)), *image, options)));
}

TEST(CopyDiskTest, AFailingWriteEndsItWithItsError) {
  const std::vector<std::byte> contents = Contents(kDiskBytes, 6);
  for (const uint64_t skip : {0, 3, 7}) {
    MemoryFile memory{std::vector<std::byte>(kDiskBytes)};
    auto file = std::make_unique<FaultyFile>(memory);
    file->FailOn({.operation = FileOperation::kPwrite,
                  .skip = skip,
                  .for_good = true,
                  .error = ENOSPC});
    const auto target = *RawDisk::Open(std::move(file), true);
    CopyOptions options;
    options.threads = 3;
    EXPECT_TRUE(
        absl::IsResourceExhausted(CopyDisk(*Raw(contents), *target, options)));
  }
}

TEST(CopyDiskCompressedTest, ReadsTheSameWhateverTheThreads) {
  const std::vector<std::byte> contents = Contents(kDiskBytes, 7);
  for (const CompressionType type :
       {CompressionType::kDeflate, CompressionType::kZstd}) {
    std::vector<uint64_t> first_hosts;
    for (const unsigned threads : {1u, 4u}) {
      const auto image = NewImage(kDiskBytes, type);
      CopyOptions options;
      options.threads = threads;
      options.target_reads_zeros = true;
      ASSERT_EQ(CopyDiskCompressed(*Raw(contents), *image, options),
                absl::OkStatus());
      EXPECT_EQ(All(*image), contents);
      std::vector<uint64_t> hosts;
      uint64_t compressed = 0;
      for (uint64_t at = 0; at < kDiskBytes; at += 65536) {
        const auto extent = image->Map(at, 65536);
        ASSERT_TRUE(extent.ok()) << extent.status();
        const bool packed = extent->kind == MappedKind::kCompressed;
        compressed += packed ? 1 : 0;
        hosts.push_back(packed ? extent->compressed.offset.value()
                               : extent->host_offset);
      }
      EXPECT_GT(compressed, 10u);
      if (first_hosts.empty()) first_hosts = hosts;
      EXPECT_EQ(hosts, first_hosts);
    }
  }
}

}  // namespace
}  // namespace qcow2
