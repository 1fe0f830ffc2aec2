#include "engine/codec/inflate.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/codec/deflate.h"
#include "engine/format/test_bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::HasSubstr;

constexpr CompressionType kTypes[] = {CompressionType::kDeflate,
                                      CompressionType::kZstd};

// What `qemu-img convert -c` makes of 64 KiB of the letter A.
constexpr char kDeflateByQemuImg[] =
    "edc181000000008020b6fda516a90a0000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "00000000000000000000000000006a";
constexpr char kZstdByQemuImg[] = "28b52ffd6000ff5500001041410100fb7f1d6001";

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message());
}

// Half noise, half repetition, so that it neither shrinks to nothing nor grows.
std::vector<std::byte> SomeCluster(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> cluster(size, std::byte{0x42});
  for (size_t i = 0; i < size / 2; ++i) {
    cluster[i] = static_cast<std::byte>(random());
  }
  return cluster;
}

// The input followed by other data, as in a host cluster shared by several.
std::vector<std::byte> FollowedByOtherData(std::vector<std::byte> input) {
  input.resize(input.size() + 300, std::byte{0xee});
  return input;
}

TEST(InflateTest, ReadsWhatQemuImgWrote) {
  Decompressor decompressor;
  const std::vector<std::byte> letters(65536, std::byte{'A'});
  std::vector<std::byte> out(65536);
  auto input = FollowedByOtherData(FromHex(kDeflateByQemuImg));
  EXPECT_TRUE(
      decompressor.InflateExactly(CompressionType::kDeflate, input, out).ok());
  EXPECT_EQ(out, letters);
  std::fill(out.begin(), out.end(), std::byte{0});
  input = FollowedByOtherData(FromHex(kZstdByQemuImg));
  EXPECT_TRUE(
      decompressor.InflateExactly(CompressionType::kZstd, input, out).ok());
  EXPECT_EQ(out, letters);
}

TEST(InflateTest, RoundTripsEveryClusterSize) {
  Decompressor decompressor;
  for (CompressionType type : kTypes) {
    for (uint32_t bits = 9; bits <= 21; ++bits) {
      const auto cluster = SomeCluster(size_t{1} << bits, bits);
      const auto compressed = CompressCluster(type, cluster);
      ASSERT_TRUE(compressed.ok());
      std::vector<std::byte> out(cluster.size());
      ASSERT_TRUE(
          decompressor
              .InflateExactly(type, FollowedByOtherData(*compressed), out)
              .ok());
      ASSERT_EQ(out, cluster);
    }
  }
}

TEST(InflateTest, EveryTruncationIsNamed) {
  Decompressor decompressor;
  const auto cluster = SomeCluster(512, 1);
  for (CompressionType type : kTypes) {
    const auto compressed = *CompressCluster(type, cluster);
    std::vector<std::byte> out(cluster.size());
    // Deflate is done once the cluster is full, before its last bytes.
    const size_t end = compressed.size() - 8;
    for (size_t size = 0; size < end; ++size) {
      const absl::Status status = decompressor.InflateExactly(
          type, std::span(compressed).first(size), out);
      ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << size;
      ASSERT_THAT(MessageOf(status), HasSubstr("truncated")) << size;
    }
  }
}

TEST(InflateTest, TooLittleIsNamed) {
  Decompressor decompressor;
  for (CompressionType type : kTypes) {
    const auto compressed = *CompressCluster(type, SomeCluster(1024, 1));
    std::vector<std::byte> out(1025);
    const absl::Status status =
        decompressor.InflateExactly(type, compressed, out);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(MessageOf(status),
                HasSubstr("too short: ends after 1024 of 1025 bytes"));
  }
}

TEST(InflateTest, DeflateStopsWithTheClusterAndZstdMustEndThere) {
  Decompressor decompressor;
  const auto cluster = SomeCluster(1024, 1);
  std::vector<std::byte> out(512);
  EXPECT_TRUE(decompressor
                  .InflateExactly(
                      CompressionType::kDeflate,
                      *CompressCluster(CompressionType::kDeflate, cluster), out)
                  .ok());
  EXPECT_TRUE(std::equal(out.begin(), out.end(), cluster.begin()));
  const absl::Status status = decompressor.InflateExactly(
      CompressionType::kZstd, *CompressCluster(CompressionType::kZstd, cluster),
      out);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(MessageOf(status), HasSubstr("too long"));
}

TEST(InflateTest, CorruptDataIsNamedAndHarmsNoLaterCluster) {
  Decompressor decompressor;
  const auto cluster = SomeCluster(4096, 1);
  const std::vector<std::byte> noise(600, std::byte{0xff});
  for (CompressionType type : kTypes) {
    std::vector<std::byte> out(cluster.size());
    const absl::Status status = decompressor.InflateExactly(type, noise, out);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(MessageOf(status), HasSubstr("corrupt"));
    EXPECT_TRUE(
        decompressor.InflateExactly(type, *CompressCluster(type, cluster), out)
            .ok());
    EXPECT_EQ(out, cluster);
  }
}

TEST(InflateTest, RandomInputNeverDoesMoreThanFail) {
  Decompressor decompressor;
  std::mt19937 random(1);
  std::vector<std::byte> out(512);
  for (int i = 0; i < 2000; ++i) {
    auto input = *CompressCluster(kTypes[i % 2], SomeCluster(512, i));
    for (int flips = 0; flips < 3; ++flips) {
      input[random() % input.size()] ^= static_cast<std::byte>(random());
    }
    const absl::Status status =
        decompressor.InflateExactly(kTypes[i % 2], input, out);
    ASSERT_TRUE(status.ok() || status.code() == absl::StatusCode::kDataLoss)
        << status;
  }
}

TEST(InflateTest, RefusesAnUnknownType) {
  std::vector<std::byte> bytes(512);
  Decompressor decompressor;
  EXPECT_EQ(
      decompressor.InflateExactly(CompressionType{2}, bytes, bytes).code(),
      absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CompressCluster(CompressionType{2}, bytes).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(InflateTest, MovesWithItsState) {
  Decompressor first;
  std::vector<std::byte> out(65536);
  const auto input = FromHex(kDeflateByQemuImg);
  ASSERT_TRUE(first.InflateExactly(CompressionType::kDeflate, input, out).ok());
  Decompressor second = std::move(first);
  EXPECT_TRUE(
      second.InflateExactly(CompressionType::kDeflate, input, out).ok());
}

}  // namespace
}  // namespace qcow2
