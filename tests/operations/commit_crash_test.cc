// A crash at every point of a commit, of both files at once: the chain reads as
// before, and each file is sound, with leaks at worst.
#include <memory>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/operations/commit.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"
#include "repair/journal/simulated_disk.h"
#include "tests/engine/soundness.h"
#include "tests/operations/scene.h"

namespace qcow2 {
namespace {

using repair::CallFault;
using repair::SimulatedDisk;
using repair::Survival;
using Bytes = std::vector<std::byte>;

constexpr uint64_t kClusterBytes = 512;
constexpr uint64_t kBackingClusters = 90;
constexpr uint64_t kClusters = 150;

// How many operations each of two disks had done at a time.
class Timeline {
 public:
  Timeline(const SimulatedDisk& backing, const SimulatedDisk& image)
      : backing_(backing), image_(image) {}

  void Note() {
    const std::lock_guard<std::mutex> held(mutex_);
    const Moment now{backing_.operations(), image_.operations()};
    if (moments_.empty() || moments_.back() != now) moments_.push_back(now);
  }

  using Moment = std::pair<size_t, size_t>;
  const std::vector<Moment>& moments() const { return moments_; }

 private:
  const SimulatedDisk& backing_;
  const SimulatedDisk& image_;
  std::mutex mutex_;
  std::vector<Moment> moments_;
};

// Tells the timeline after each change.
class WatchedFile : public ForwardingFile {
 public:
  WatchedFile(File& target, Timeline* timeline)
      : ForwardingFile(target), timeline_(timeline) {}

  absl::Status Pwrite(uint64_t offset,
                      std::span<const std::byte> data) override {
    return Told(ForwardingFile::Pwrite(offset, data));
  }
  absl::Status Flush() override { return Told(ForwardingFile::Flush()); }
  absl::Status Truncate(uint64_t size) override {
    return Told(ForwardingFile::Truncate(size));
  }
  absl::Status PunchHole(ByteRange range) override {
    return Told(ForwardingFile::PunchHole(range));
  }

 private:
  absl::Status Told(absl::Status status) {
    if (timeline_ != nullptr) timeline_->Note();
    return status;
  }

  Timeline* timeline_;
};

class CommitCrashTest : public testing::Test {
 protected:
  void SetUp() override {
    MemoryFile backing;
    MemoryFile image;
    Create(backing, kBackingClusters, "");
    Create(image, kClusters, "backing");
    {
      const auto disk = Open(backing, nullptr, nullptr);
      Fill(*disk, 0, 7, 1);
      ASSERT_EQ(disk->Close(), absl::OkStatus());
    }
    {
      const auto disk = Open(image, Open(backing, nullptr, nullptr), nullptr);
      Fill(*disk, 3, 11, 2);
      ASSERT_EQ(disk->WriteZeroes(40 * kClusterBytes, 9 * kClusterBytes,
                                  ZeroMode::kKeep),
                absl::OkStatus());
      expected_.resize(disk->size_bytes());
      ASSERT_EQ(disk->Read(0, expected_), absl::OkStatus());
      ASSERT_EQ(disk->Close(), absl::OkStatus());
    }
    backing_.assign(backing.bytes().begin(), backing.bytes().end());
    image_.assign(image.bytes().begin(), image.bytes().end());
  }

  static void Create(MemoryFile& file, uint64_t clusters,
                     const std::string& backing_file) {
    CreateOptions create;
    create.cluster_bits = 9;
    create.virtual_size = clusters * kClusterBytes;
    create.backing_file = backing_file;
    if (!backing_file.empty()) create.backing_format = "qcow2";
    ASSERT_EQ(CreateImage(file, nullptr, create), absl::OkStatus());
  }
  static std::unique_ptr<Image> Open(File& file,
                                     std::shared_ptr<GuestDisk> backing,
                                     Timeline* timeline) {
    ImageOptions options;
    options.writable = true;
    options.l2_cache_bytes = 0;
    options.refcount_cache_bytes = 0;
    options.backing = std::move(backing);
    auto image = Image::Open(std::make_unique<WatchedFile>(file, timeline),
                             std::move(options));
    EXPECT_EQ(image.status(), absl::OkStatus());
    return *std::move(image);
  }
  // Some bytes in every `step`th cluster from `first` on.
  static void Fill(Image& image, uint64_t first, uint64_t step, uint64_t seed) {
    const uint64_t size = image.size_bytes();
    for (uint64_t at = first * kClusterBytes; at + 1200 < size;
         at += step * kClusterBytes) {
      ASSERT_EQ(image.Write(at + 100, MixedContents(1000, seed + at)),
                absl::OkStatus());
    }
  }
  void ExpectSame(MemoryFile& backing, MemoryFile& image) {
    for (const File* file : {&backing, &image}) {
      const checker::CheckReport report = CheckFile(*file);
      ASSERT_EQ(TrueCorruptions(report), 0u) << FindingsOf(report);
    }
    const auto disk = Open(image, Open(backing, nullptr, nullptr), nullptr);
    Bytes read(disk->size_bytes());
    ASSERT_EQ(disk->Read(0, read), absl::OkStatus());
    ASSERT_TRUE(read == expected_);
  }

  Bytes backing_;
  Bytes image_;
  Bytes expected_;
};

TEST_F(CommitCrashTest, LeavesTheChainAsItRead) {
  SimulatedDisk backing(backing_);
  SimulatedDisk image(image_);
  backing.KeepSectorsWhole();
  image.KeepSectorsWhole();
  Timeline timeline(backing, image);
  timeline.Note();
  {
    const std::shared_ptr<Image> below =
        Open(backing.image(), nullptr, &timeline);
    const auto disk = Open(image.image(), below, &timeline);
    CommitOptions options;
    options.threads = 1;
    ASSERT_EQ(CommitImage(*disk, options), absl::OkStatus());
    ASSERT_EQ(disk->Close(), absl::OkStatus());
    ASSERT_EQ(below->Close(), absl::OkStatus());
  }
  // The backing file alone has all of it in the end.
  MemoryFile committed(backing.image_contents());
  Bytes read(expected_.size());
  ASSERT_EQ(Open(committed, nullptr, nullptr)->Read(0, read), absl::OkStatus());
  ASSERT_TRUE(read == expected_);
  ASSERT_GT(timeline.moments().size(), 20u);
  std::mt19937_64 random(3);
  for (const auto& [in_backing, in_image] : timeline.moments()) {
    for (const Survival survival :
         {Survival::kNothing, Survival::kEverything, Survival::kRandom,
          Survival::kRandom, Survival::kRandom}) {
      MemoryFile below(
          backing.AfterCrash(in_backing, survival, random)->image_contents());
      MemoryFile above(
          image.AfterCrash(in_image, survival, random)->image_contents());
      ExpectSame(below, above);
      if (HasFailure()) {
        FAIL() << "after " << in_backing << " operations of the backing file, "
               << in_image << " of the image, survival "
               << static_cast<int>(survival);
      }
    }
  }
}

TEST_F(CommitCrashTest, ComesBackFromEveryFault) {
  // Of the one disk; nothing fails on the other.
  const auto commit = [&](SimulatedDisk& backing, SimulatedDisk& image,
                          SimulatedDisk& failing, const CallFault& fault) {
    const std::shared_ptr<Image> below =
        Open(backing.image(), nullptr, nullptr);
    const auto disk = Open(image.image(), below, nullptr);
    failing.FailCalls(fault);
    CommitOptions options;
    options.threads = 1;
    const absl::Status committed = CommitImage(*disk, options);
    const absl::Status closed = disk->Close();
    const absl::Status below_closed = below->Close();
    SCOPED_TRACE(testing::Message()
                 << committed << ", close: " << closed << ", " << below_closed);
    MemoryFile below_file(backing.image_contents());
    MemoryFile file(image.image_contents());
    ExpectSame(below_file, file);
  };
  AtEveryFault(backing_, [&](SimulatedDisk& disk, const CallFault& fault) {
    SimulatedDisk image(image_);
    commit(disk, image, disk, fault);
  });
  AtEveryFault(image_, [&](SimulatedDisk& disk, const CallFault& fault) {
    SimulatedDisk backing(backing_);
    commit(backing, disk, disk, fault);
  });
}

}  // namespace
}  // namespace qcow2
