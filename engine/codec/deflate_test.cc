#include "engine/codec/deflate.h"

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "engine/codec/inflate.h"
#include "engine/codec/zlib_pointers.h"
#include "engine/format/test_bytes.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using Bytes = std::vector<std::byte>;

constexpr CompressionType kTypes[] = {CompressionType::kDeflate,
                                      CompressionType::kZstd};

// `noise` random bytes, then zeros.
Bytes Cluster(size_t size, size_t noise, uint32_t seed) {
  std::mt19937 random(seed);
  Bytes cluster = RandomBytes(random, noise);
  cluster.resize(size);
  return cluster;
}

TEST(CompressorTest, ShrinksEveryClusterSizeAgainAndAgain) {
  Compressor compressor;
  Decompressor decompressor;
  for (uint32_t bits = 21; bits >= 9; --bits) {
    for (CompressionType type : kTypes) {
      const Bytes cluster = Cluster(size_t{1} << bits, 100, bits);
      const auto compressed = compressor.Shrink(type, cluster);
      ASSERT_TRUE(compressed.ok()) << compressed.status();
      ASSERT_TRUE(compressed->has_value());
      EXPECT_LT((*compressed)->size(), cluster.size());
      Bytes out(cluster.size());
      ASSERT_TRUE(decompressor.InflateExactly(type, **compressed, out).ok());
      EXPECT_EQ(out, cluster);
    }
  }
}

TEST(CompressorTest, WhatDoesNotShrinkIsNoError) {
  Compressor compressor;
  for (CompressionType type : kTypes) {
    for (size_t size : {512, 4096, 65536, 2097152}) {
      const auto compressed = compressor.Shrink(type, Cluster(size, size, 1));
      ASSERT_TRUE(compressed.ok()) << compressed.status();
      EXPECT_FALSE(compressed->has_value()) << size;
      // What comes next is not the worse for it.
      const auto next = compressor.Shrink(type, Cluster(size, 10, 1));
      ASSERT_TRUE(next.ok() && next->has_value()) << size;
    }
  }
}

// Around the point where noise takes up what the zeros save.
TEST(CompressorTest, FitsUpToTheLastByte) {
  Compressor compressor;
  for (CompressionType type : kTypes) {
    size_t longest = 0;
    for (size_t noise = 400; noise <= 512; ++noise) {
      const Bytes cluster = Cluster(512, noise, 7);
      const size_t needed = compressor.Compress(type, cluster)->size();
      const auto compressed = compressor.Shrink(type, cluster);
      ASSERT_TRUE(compressed.ok());
      EXPECT_EQ(compressed->has_value(), needed < cluster.size()) << noise;
      if (needed < cluster.size()) longest = std::max(longest, needed);
    }
    EXPECT_GE(longest, 510u);
  }
}

// A reader with a window of 4 KiB and no more can read it: the noise that comes
// again further away than that is not referred to.
TEST(CompressorTest, DeflateNeedsNoMoreThanFourKib) {
  Bytes cluster = Cluster(4500, 4500, 1);
  const Bytes first = cluster;
  while (cluster.size() < 65536) {
    cluster.insert(cluster.end(), first.begin(), first.end());
  }
  Compressor compressor;
  const auto compressed =
      compressor.Compress(CompressionType::kDeflate, cluster);
  ASSERT_TRUE(compressed.ok());
  z_stream stream = {};
  ASSERT_EQ(inflateInit2(&stream, -12), Z_OK);
  Bytes out(cluster.size());
  stream.next_in = ZlibInput(*compressed);
  stream.avail_in = static_cast<uInt>(compressed->size());
  stream.next_out = ZlibOutput(out);
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  inflateEnd(&stream);
  EXPECT_EQ(out, cluster);
}

TEST(CompressorTest, RefusesWhatIsNoCluster) {
  Compressor compressor;
  const Bytes cluster(512);
  for (CompressionType type : kTypes) {
    EXPECT_EQ(compressor.Shrink(type, {}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(compressor.Shrink(CompressionType{2}, cluster).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(CompressorTest, MovesWithItsState) {
  Compressor first;
  const Bytes cluster(4096);
  ASSERT_TRUE(first.Shrink(CompressionType::kZstd, cluster).ok());
  Compressor second = std::move(first);
  EXPECT_TRUE(second.Shrink(CompressionType::kZstd, cluster)->has_value());
}

}  // namespace
}  // namespace qcow2
