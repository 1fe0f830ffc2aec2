// Giving the space of free clusters back: what is punched out, what is refused,
// and what is left when a step fails.
#include "repair/discard_freed.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "checker/check.h"
#include "checker/graph.h"
#include "checker/test_image.h"
#include "engine/format/entry_flags.h"
#include "engine/storage/faulty_file.h"
#include "gtest/gtest.h"
#include "repair/freed_clusters.h"
#include "repair/journal/posix_directory.h"
#include "repair/journal/simulated_disk.h"
#include "repair/testing.h"

namespace qcow2::repair {
namespace {

namespace fs = std::filesystem;

using checker::TestImage;

constexpr char kUndoName[] = "image.fsck-undo";
constexpr uint64_t kFreeClusters = 8;

std::vector<std::byte> BytesOf(const File& file) {
  return BytesAt(file, 0, *file.Size());
}

class DiscardFreedTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directory(folder_);
    directory_ = *PosixDirectory::Open(folder_);
    image_.Fill(kFree + 1, 'x');
    before_ = BytesOf(image_.file());
  }

  static DiscardRequest Request(bool dry_run, bool keep_undo) {
    DiscardRequest request;
    request.dry_run = dry_run;
    request.keep_undo = keep_undo;
    return request;
  }
  void MakeUndoFile() const { std::ofstream(UndoPath()) << "old bytes"; }
  std::string UndoPath() const { return folder_ + "/" + kUndoName; }

  TransactionReport Discard(const DiscardRequest& request = {}) {
    return Discard(image_.file(), request);
  }
  TransactionReport Discard(File& file, const DiscardRequest& request = {}) {
    return DiscardFreed(file, "image",
                        {*directory_, "image.fsck-journal", kUndoName}, request)
        .transaction;
  }

  TransactionReport DiscardFailingAt(FileOperation operation) {
    FaultyFile faulty(image_.file());
    Fault fault;
    fault.operation = operation;
    faulty.FailOn(fault);
    return Discard(faulty);
  }

  void ExpectOnlyFreeClustersDiffer(const std::vector<std::byte>& now) const {
    const size_t in_use = image_.OffsetOf(kFree);
    ASSERT_EQ(now.size(), before_.size());
    EXPECT_TRUE(std::equal(now.begin(),
                           now.begin() + static_cast<ptrdiff_t>(in_use),
                           before_.begin()));
  }
  void ExpectUntouched() { EXPECT_TRUE(BytesOf(image_.file()) == before_); }

  const std::string folder_ = testing::TempDir() + "/discard_freed";
  std::unique_ptr<PosixDirectory> directory_;
  TestImage image_;
  std::vector<std::byte> before_;
};

TEST_F(DiscardFreedTest, FreeClustersAreZerosAndAllElseIsAsItWas) {
  const TransactionReport done = Discard();
  EXPECT_EQ(done.conclusion, Conclusion::kCommitted);
  EXPECT_TRUE(done.error.ok()) << done.error;
  EXPECT_EQ(done.discard->clusters, kFreeClusters);
  EXPECT_EQ(done.discard->bytes, kFreeClusters * image_.cluster_size());
  EXPECT_TRUE(done.discard->applied);
  std::vector<std::byte> expected = before_;
  std::fill(expected.begin() + static_cast<ptrdiff_t>(image_.OffsetOf(kFree)),
            expected.end(), std::byte{0});
  EXPECT_TRUE(BytesOf(image_.file()) == expected);
}

TEST_F(DiscardFreedTest, ADryRunSaysWhatThereIs) {
  const TransactionReport planned =
      Discard(Request(/*dry_run=*/true, /*keep_undo=*/true));
  EXPECT_EQ(planned.conclusion, Conclusion::kPlanned);
  EXPECT_EQ(planned.discard->clusters, kFreeClusters);
  EXPECT_FALSE(planned.discard->applied);
  ExpectUntouched();
}

TEST_F(DiscardFreedTest, ADamagedImageIsRefused) {
  // A leak, and a cluster in use that is not counted.
  for (const uint64_t cluster : {kFree, kData}) {
    TestImage image;
    image.SetCount(cluster, cluster == kFree ? 1 : 0);
    const auto before = BytesOf(image.file());
    const TransactionReport refused = Discard(image.file());
    EXPECT_EQ(refused.conclusion, Conclusion::kNotStarted);
    EXPECT_FALSE(refused.error.ok());
    EXPECT_FALSE(refused.discard.has_value());
    EXPECT_TRUE(BytesOf(image.file()) == before);
  }
}

TEST_F(DiscardFreedTest, AnImageThatCannotBeReadIsRefused) {
  for (const uint64_t cluster : {kRefcountBlock, kL1, kL2}) {
    FaultyFile faulty(image_.file());
    faulty.FailReadsIn({image_.OffsetOf(cluster), image_.cluster_size()});
    const TransactionReport refused = Discard(faulty);
    EXPECT_EQ(refused.conclusion, Conclusion::kNotStarted) << cluster;
    EXPECT_FALSE(refused.error.ok()) << cluster;
  }
}

TEST_F(DiscardFreedTest, AnUndoFileIsInTheWay) {
  MakeUndoFile();
  const TransactionReport refused = Discard();
  EXPECT_EQ(refused.conclusion, Conclusion::kNotStarted);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.error)) << refused.error;
  ExpectUntouched();
  EXPECT_TRUE(fs::exists(UndoPath()));

  EXPECT_EQ(Discard(Request(/*dry_run=*/true, /*keep_undo=*/false)).conclusion,
            Conclusion::kPlanned);
  EXPECT_TRUE(fs::exists(UndoPath()));

  const TransactionReport done =
      Discard(Request(/*dry_run=*/false, /*keep_undo=*/false));
  EXPECT_EQ(done.conclusion, Conclusion::kCommitted);
  EXPECT_EQ(done.discard->removed_undo_name, kUndoName);
  EXPECT_FALSE(fs::exists(UndoPath()));
}

TEST_F(DiscardFreedTest, NothingIsPunchedUntilTheUndoFileIsGone) {
  // A folder with something in it cannot be removed like a file.
  fs::create_directories(UndoPath() + "/inside");
  const TransactionReport failed =
      Discard(Request(/*dry_run=*/false, /*keep_undo=*/false));
  EXPECT_EQ(failed.conclusion, Conclusion::kNotCommitted);
  EXPECT_FALSE(failed.error.ok());
  EXPECT_FALSE(failed.discard->applied);
  ExpectUntouched();
}

// Whatever fails, and whatever of it a crash then keeps: where something was
// punched out the undo file is gone, so that it can never be applied.
TEST_F(DiscardFreedTest, AnUndoFileNeverOutlivesWhatItNeeds) {
  std::mt19937_64 random(1);
  bool removed_for_nothing = false;
  bool failed = true;
  for (uint64_t skip = 0; failed; ++skip) {
    SCOPED_TRACE(skip);
    SimulatedDisk disk(before_, {{kUndoName, before_}});
    disk.KeepSectorsWhole();
    disk.FailCalls({.skip = skip});
    const TransactionReport report =
        DiscardFreed(disk.image(), "image",
                     {disk.directory(), "image.fsck-journal", kUndoName},
                     Request(/*dry_run=*/false, /*keep_undo=*/false))
            .transaction;
    failed = disk.calls() > skip;
    // One read that fails may be made good by another.
    EXPECT_EQ(report.conclusion == Conclusion::kCommitted, report.error.ok());
    EXPECT_TRUE(failed || report.error.ok());
    for (int i = 0; i < 16; ++i) {
      const auto crashed = disk.AfterCrash(
          random() % (disk.operations() + 1),
          i == 0 ? Survival::kNothing : Survival::kRandom, random);
      ExpectOnlyFreeClustersDiffer(crashed->image_contents());
      EXPECT_TRUE(crashed->image_contents() == before_ ||
                  !crashed->files().contains(kUndoName));
    }
    // The folder could not be flushed.
    removed_for_nothing |= failed && disk.image_contents() == before_ &&
                           !disk.files().contains(kUndoName);
  }
  EXPECT_TRUE(removed_for_nothing);
}

TEST_F(DiscardFreedTest, WhatFailsIsSaid) {
  const TransactionReport punch = DiscardFailingAt(FileOperation::kPunchHole);
  EXPECT_EQ(punch.conclusion, Conclusion::kNotCommitted);
  EXPECT_EQ(punch.discard->bytes, 0);
  EXPECT_FALSE(punch.discard->applied);
  const TransactionReport flush = DiscardFailingAt(FileOperation::kFlush);
  EXPECT_EQ(flush.conclusion, Conclusion::kNotCommitted);
  EXPECT_EQ(flush.discard->bytes, kFreeClusters * image_.cluster_size());
  EXPECT_FALSE(flush.discard->applied);
}

TEST_F(DiscardFreedTest, ACancelledCheckLeavesAllAsItIs) {
  const std::atomic<bool> cancel = true;
  DiscardRequest request;
  request.check.cancel = &cancel;
  EXPECT_EQ(Discard(request).conclusion, Conclusion::kCancelled);
  ExpectUntouched();
}

TEST(FreedClustersTest, OnlyWholeUnitsArePunched) {
  // Clusters of 512 bytes; 8 to 15, free, are one unit. Without the last of
  // them, or the first, none is.
  for (const uint64_t taken : {kFree, kFree + 7}) {
    TestImage image(3, 9);
    checker::Graph graph;
    checker::CheckOptions options;
    options.graph = &graph;
    checker::CheckImage(image.file(), "image", options);
    EXPECT_EQ(FindFreed(image.file(), graph)->bytes, kPunchAlignment);
    EXPECT_EQ(FindFreed(image.file(), graph)->clusters, kFreeClusters);

    image.SetL2(3, image.OffsetOf(taken) | kCopiedFlag);
    image.SetCount(taken, 1);
    checker::CheckImage(image.file(), "image", options);
    FreedSpace punched;
    EXPECT_TRUE(PunchFreed(image.file(), graph, punched).ok());
    EXPECT_EQ(punched.bytes, 0);
  }
}

}  // namespace
}  // namespace qcow2::repair
