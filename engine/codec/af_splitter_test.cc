#include "engine/codec/af_splitter.h"

#include <random>
#include <vector>

#include "engine/format/test_bytes.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using Bytes = std::vector<std::byte>;

TEST(AfSplitterTest, MergesToKnownAnswers) {
  struct Case {
    const char* hash;
    // By a few lines of Python that follow the description of LUKS.
    const char* key;
  };
  for (const Case& c :
       {Case{
            "sha256",
            "cb5d8ec550bc980d8c0b677f789e9e687ab6a34b08f39416aad5c41fde346ff7"},
        Case{"sha1",
             "ef92c23fe0c0a72747f15ecc86f13300e7b24196282fe536451f59b3d2a88b42"
             "cf07b3f827a4566a13858a25539e9bcca3c506ad2b2552fe9dcdc764c03d213"
             "d"},
        Case{"sha512", "5417f99cf77f6ec766fb2e735053b279b2b4be80e4121508"}}) {
    const Bytes expected = FromHex(c.key);
    Bytes stripes(5 * expected.size());
    for (size_t i = 0; i < stripes.size(); ++i) {
      stripes[i] = static_cast<std::byte>(i * 7 + i / 256);
    }
    Bytes key(expected.size());
    ASSERT_TRUE(AfMerge(*CryptoHash::Named(c.hash), stripes, key).ok());
    EXPECT_EQ(key, expected) << c.hash;
  }
}

TEST(AfSplitterTest, MergesWhatItSplit) {
  std::mt19937 random(1);
  for (const char* name : {"sha1", "sha256", "sha512", "ripemd160"}) {
    const CryptoHash hash = *CryptoHash::Named(name);
    for (size_t key_bytes : {16, 24, 32, 48, 64}) {
      for (uint32_t stripes : {1, 2, 4000}) {
        const Bytes key = RandomBytes(random, key_bytes);
        const auto split = AfSplit(hash, key, stripes);
        ASSERT_TRUE(split.ok());
        ASSERT_EQ(split->size(), key_bytes * stripes);
        Bytes merged(key_bytes, std::byte{0xee});
        ASSERT_TRUE(AfMerge(hash, split->bytes(), merged).ok());
        EXPECT_EQ(merged, key) << name << ", " << stripes << " stripes";
      }
    }
  }
}

TEST(AfSplitterTest, SplitsDifferEachTime) {
  const CryptoHash hash = *CryptoHash::Named("sha256");
  const Bytes key(32, std::byte{1});
  const auto first = AfSplit(hash, key, 10);
  const auto second = AfSplit(hash, key, 10);
  EXPECT_NE(Bytes(first->bytes().begin(), first->bytes().end()),
            Bytes(second->bytes().begin(), second->bytes().end()));
}

TEST(AfSplitterTest, OneBitAnywhereLosesTheKey) {
  const CryptoHash hash = *CryptoHash::Named("sha256");
  const Bytes key(32, std::byte{1});
  const auto split = AfSplit(hash, key, 8);
  for (size_t at = 0; at < split->size(); at += 13) {
    Bytes damaged(split->bytes().begin(), split->bytes().end());
    damaged[at] ^= std::byte{1};
    Bytes merged(key.size());
    ASSERT_TRUE(AfMerge(hash, damaged, merged).ok());
    EXPECT_NE(merged, key) << at;
  }
}

TEST(AfSplitterTest, RefusesWhatDoesNotFit) {
  const CryptoHash hash = *CryptoHash::Named("sha256");
  Bytes key(32);
  EXPECT_EQ(AfSplit(hash, {}, 4000).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(AfSplit(hash, key, 0).status().code(),
            absl::StatusCode::kInvalidArgument);
  for (size_t size : {0, 31, 33}) {
    EXPECT_EQ(AfMerge(hash, Bytes(size), key).code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(AfMerge(hash, key, {}).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace qcow2
