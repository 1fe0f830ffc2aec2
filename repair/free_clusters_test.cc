// Which clusters a repair may take: none that may hold anything.
#include "repair/free_clusters.h"

#include <cstdint>
#include <string>

#include "checker/check.h"
#include "checker/test_image.h"
#include "engine/format/entry_flags.h"
#include "gtest/gtest.h"
#include "repair/testing.h"

namespace qcow2::repair {
namespace {

using checker::TestImage;

constexpr uint64_t kEnd = 16;  // clusters of a TestImage

checker::Graph GraphOf(TestImage& image) {
  checker::Graph graph;
  checker::CheckOptions options;
  options.jobs = 1;
  options.graph = &graph;
  checker::CheckImage(image.file(), "image", options);
  return graph;
}

// The cluster that is given, or 0.
uint64_t Allocate(FreeClusters& free, TestImage& image) {
  const checker::Graph graph = GraphOf(image);
  const auto offset = free.Allocate(graph, 1, image.file());
  return offset.ok() ? *offset / image.cluster_size() : 0;
}

void CountAllFree(TestImage& image) {
  for (uint64_t i = kFree; i < kEnd; ++i) image.SetCount(i, 1);
}

TEST(FreeClustersTest, TakesWhatIsNeitherCountedNorNamed) {
  TestImage image;
  image.SetCount(kFree, 1);
  image.SetL2(3, image.OffsetOf(kFree + 1));
  FreeClusters free(/*can_grow=*/true);
  EXPECT_EQ(Allocate(free, image), kFree + 2);
  EXPECT_EQ(Allocate(free, image), kFree + 3);
  EXPECT_TRUE(free.IsGiven(kFree + 3));
  EXPECT_FALSE(free.IsGiven(kFree));
}

TEST(FreeClustersTest, WhatIsNamedSinceIsNotTaken) {
  TestImage image;
  FreeClusters free(/*can_grow=*/true);
  EXPECT_EQ(Allocate(free, image), kFree);
  image.SetL2(3, image.OffsetOf(kFree + 1));
  EXPECT_EQ(Allocate(free, image), kFree + 2);
}

TEST(FreeClustersTest, AClusterThatIsCutOffIsNotTaken) {
  TestImage image;
  CountAllFree(image);
  image.SetCount(kEnd - 1, 0);
  image.Truncate(image.OffsetOf(kEnd - 1) + 100);
  FreeClusters free(/*can_grow=*/true);
  EXPECT_EQ(Allocate(free, image), kEnd);
}

// An entry that leads nowhere may have named any of them.
TEST(FreeClustersTest, NothingIsTakenWhereNotAllCouldBeFollowed) {
  TestImage image;
  image.header.l1_size = 2;
  image.SetL1(1, (image.OffsetOf(kFree) + 512) | kCopiedFlag);
  FreeClusters free(/*can_grow=*/true);
  EXPECT_EQ(Allocate(free, image), kEnd);
}

TEST(FreeClustersTest, TheFileDoesNotGrowOverAPlaceThatIsNamed) {
  TestImage image;
  CountAllFree(image);
  FreeClusters free(/*can_grow=*/true);
  free.LimitGrowth(image.OffsetOf(kEnd + 1));
  EXPECT_EQ(Allocate(free, image), kEnd);
  EXPECT_FALSE(free.TakeRanOut());
  image.SetCount(kEnd, 1);
  EXPECT_EQ(Allocate(free, image), 0);
  EXPECT_TRUE(free.TakeRanOut());
}

// New clusters would lie in the table, which grows with the file: without end.
TEST(FreeClustersTest, TheFileDoesNotGrowIntoATableThatGoesOnThere) {
  TestImage image;
  CountAllFree(image);
  image.header.nb_snapshots = 1;
  image.header.snapshots_offset = HostOffset(image.OffsetOf(kFree));
  // More extra data than the file has.
  image.WriteBe64(image.OffsetOf(kFree) + 32, 0x02020202);
  FreeClusters free(/*can_grow=*/true);
  EXPECT_EQ(Allocate(free, image), 0);
  EXPECT_TRUE(free.TakeRanOut());
}

TEST(FreeClustersTest, ADeviceDoesNotGrow) {
  TestImage image;
  CountAllFree(image);
  FreeClusters free(/*can_grow=*/false);
  EXPECT_EQ(Allocate(free, image), 0);
  EXPECT_TRUE(free.TakeRanOut());
}

}  // namespace
}  // namespace qcow2::repair
