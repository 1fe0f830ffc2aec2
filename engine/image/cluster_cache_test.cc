// How many tables a cache holds, and which of them it gives up.
#include "engine/image/cluster_cache.h"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/format/types.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

constexpr uint64_t kCluster = 512;

class ClusterCacheTest : public testing::Test {
 protected:
  // Reads the table in cluster `index`; what is read again shows a change that
  // was made behind the cache's back.
  std::byte FirstByteOf(uint64_t index) {
    const auto table = cache_.Get(HostOffset(index * kCluster));
    EXPECT_TRUE(table.ok()) << table.status();
    return (*table)->bytes[0];
  }
  void ChangeFile(std::byte value) {
    for (uint64_t i = 0; i < 8; ++i) {
      file_.mutable_bytes()[i * kCluster] = value;
    }
  }

  MemoryFile file_{std::vector<std::byte>(8 * kCluster)};
  ClusterCache cache_{file_, "L2 table", kCluster, 3};
};

TEST_F(ClusterCacheTest, NoMoreThanItsCapacityStays) {
  for (uint64_t i = 0; i < 8; ++i) FirstByteOf(i);
  FirstByteOf(5);  // 6 is now the one unused longest of 5, 6 and 7
  FirstByteOf(1);
  cache_.Trim();
  ChangeFile(std::byte{9});
  for (const uint64_t held : {1, 5, 7}) {
    EXPECT_EQ(FirstByteOf(held), std::byte{0}) << held;
  }
  for (const uint64_t dropped : {0, 2, 3, 4, 6}) {
    EXPECT_EQ(FirstByteOf(dropped), std::byte{9}) << dropped;
  }
}

TEST_F(ClusterCacheTest, WhatIsNotWrittenYetStays) {
  for (uint64_t i = 0; i < 5; ++i) {
    CachedTable* table = *cache_.Get(HostOffset(i * kCluster));
    table->bytes[0] = std::byte{1};
    cache_.MarkDirty(table);
  }
  cache_.Trim();
  EXPECT_EQ(cache_.dirty_count(), 5);
  ASSERT_TRUE(
      cache_.WriteDirty([](HostOffset) { return absl::OkStatus(); }).ok());
  for (uint64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(file_.bytes()[i * kCluster], std::byte(i < 5)) << i;
  }
}

}  // namespace
}  // namespace qcow2
