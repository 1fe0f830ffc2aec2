// Crashes and faults at every point of changes to what an image is. Whatever
// survived of what was not flushed, the image is sound, with leaks at worst,
// and is the old one or the new one.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/format/header_extension.h"
#include "engine/image/amend.h"
#include "engine/image/bitmaps.h"
#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/image/resize.h"
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
using Bytes = std::vector<std::byte>;

constexpr uint64_t kClusters = 150;
// Crashes behind each operation.
constexpr int kTrials = 12;

// One change, of an image with clusters of 2^cluster_bits bytes.
struct ChangeCase {
  std::string name;
  uint32_t cluster_bits = 9;
  uint32_t version = 3;
  std::string backing_file = {};
  std::function<absl::Status(Image&)> change = {};
  // The size afterwards, in clusters.
  uint64_t clusters_after = kClusters;

  friend std::ostream& operator<<(std::ostream& out, const ChangeCase& c) {
    return out << c.name;
  }
};

absl::StatusOr<std::unique_ptr<Image>> Open(File& file, bool writable) {
  ImageOptions options;
  options.writable = writable;
  options.l2_cache_bytes = 0;
  options.refcount_cache_bytes = 0;
  return Image::Open(std::make_unique<ForwardingFile>(file),
                     std::move(options));
}

class ChangeCrashTest : public testing::TestWithParam<ChangeCase> {
 protected:
  void SetUp() override {
    CreateOptions create;
    create.version = GetParam().version;
    create.cluster_bits = GetParam().cluster_bits;
    create.virtual_size = kClusters << create.cluster_bits;
    create.backing_file = GetParam().backing_file;
    if (!create.backing_file.empty()) create.backing_format = "raw";
    MemoryFile file;
    ASSERT_EQ(CreateImage(file, nullptr, create), absl::OkStatus());
    const uint64_t cluster = uint64_t{1} << create.cluster_bits;
    {
      auto image = Open(file, /*writable=*/true);
      ASSERT_EQ(image.status(), absl::OkStatus());
      // Every other stretch of clusters has something, or is zeros.
      for (uint64_t i = 0; i < kClusters; i += 10) {
        ASSERT_EQ((*image)->Write(i * cluster, MixedContents(4 * cluster, i)),
                  absl::OkStatus());
        ASSERT_EQ((*image)->WriteZeroes((i + 3) * cluster, 3 * cluster,
                                        ZeroMode::kKeep),
                  absl::OkStatus());
      }
      ASSERT_EQ((*image)->Close(), absl::OkStatus());
    }
    created_.assign(file.bytes().begin(), file.bytes().end());
    before_ = Contents(file);
    size_after_ = GetParam().clusters_after * cluster;
  }

  static Bytes Contents(File& file) {
    const auto image = Open(file, /*writable=*/false);
    EXPECT_EQ(image.status(), absl::OkStatus());
    if (!image.ok()) return {};
    Bytes bytes((*image)->size_bytes());
    EXPECT_EQ((*image)->Read(0, bytes), absl::OkStatus());
    return bytes;
  }

  void ExpectSound(MemoryFile& file) {
    const checker::CheckReport report = CheckFile(file);
    ASSERT_EQ(TrueCorruptions(report), 0u) << FindingsOf(report);
    const Bytes now = Contents(file);
    ASSERT_TRUE(now.size() == before_.size() || now.size() == size_after_)
        << now.size();
    Bytes expected = before_;
    expected.resize(now.size());
    ASSERT_EQ(now == expected, true);
    const auto area = ReadHeaderArea(file);
    ASSERT_TRUE(area.ok()) << area.status();
    const std::string format =
        area->TextOf(kExtensionBackingFormat).value_or("none");
    const std::string name = area->backing_name;
    ASSERT_EQ(format, name.empty()       ? "none"
                      : name == kNewName ? "qcow2"
                                         : "raw")
        << name;
    ASSERT_TRUE(name.empty() || name == kNewName ||
                name == GetParam().backing_file)
        << name;
  }

  static constexpr char kNewName[] = "another-backing-file.qcow2";

  Bytes created_;
  Bytes before_;
  uint64_t size_after_ = 0;
};

TEST_P(ChangeCrashTest, LeavesTheOldImageOrTheNewOne) {
  SimulatedDisk disk(created_);
  disk.KeepSectorsWhole();
  {
    auto image = Open(disk.image(), /*writable=*/true);
    ASSERT_EQ(image.status(), absl::OkStatus());
    ASSERT_EQ(GetParam().change(**image), absl::OkStatus());
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
  }
  MemoryFile finished(disk.image_contents());
  ASSERT_EQ(FindingsOf(CheckFile(finished)), "");
  ASSERT_EQ(Contents(finished).size(), size_after_);
  AtEveryCrash(disk, 0, kTrials,
               [&](MemoryFile& file, size_t) { ExpectSound(file); });
}

TEST_P(ChangeCrashTest, ComesBackFromEveryFault) {
  AtEveryFault(created_, [&](SimulatedDisk& disk, const CallFault& fault) {
    auto image = Open(disk.image(), /*writable=*/true);
    ASSERT_EQ(image.status(), absl::OkStatus());
    disk.FailCalls(fault);
    const absl::Status changed = GetParam().change(**image);
    const absl::Status closed = (*image)->Close();
    image->reset();
    SCOPED_TRACE(testing::Message() << changed << ", close: " << closed);
    MemoryFile file(disk.image_contents());
    ExpectSound(file);
  });
}

absl::Status ResizeTo(Image& image, uint64_t clusters,
                      Preallocation preallocation = Preallocation::kOff) {
  ResizeOptions options;
  options.preallocation = preallocation;
  options.allow_shrink = true;
  return ResizeImage(image, clusters * image.geometry().cluster_size(),
                     options);
}

std::vector<ChangeCase> SizeCases() {
  const auto size = [](uint64_t clusters, Preallocation preallocation) {
    return
        [=](Image& image) { return ResizeTo(image, clusters, preallocation); };
  };
  const auto with_bitmap = [](uint64_t clusters) {
    return [clusters](Image& image) {
      const absl::Status added =
          AddBitmap(image.core(), {.name = "b", .granularity_bytes = 512});
      return added.ok() ? ResizeTo(image, clusters) : added;
    };
  };
  return {
      {.name = "GrowWithBitmap",
       .change = with_bitmap(9000),
       .clusters_after = 9000},
      {.name = "ShrinkWithBitmap",
       .change = with_bitmap(35),
       .clusters_after = 35},
      {.name = "Grow",
       .change = size(200, Preallocation::kOff),
       .clusters_after = 200},
      {.name = "GrowL1",
       .change = size(9000, Preallocation::kOff),
       .clusters_after = 9000},
      {.name = "GrowPreallocated",
       .change = size(400, Preallocation::kFull),
       .clusters_after = 400},
      {.name = "Shrink",
       .change = size(35, Preallocation::kOff),
       .clusters_after = 35},
  };
}

std::vector<ChangeCase> HeaderCases() {
  const auto upgrade = [](Image& image) { return UpgradeImage(image); };
  const auto downgrade = [](Image& image) { return DowngradeImage(image); };
  const auto rename = [](Image& image) {
    return SetBackingFile(image, "another-backing-file.qcow2", "qcow2");
  };
  const auto orphan = [](Image& image) {
    return SetBackingFile(image, "", "");
  };
  const auto width = [](uint32_t bits) {
    return [bits](Image& image) { return ChangeRefcountWidth(image, bits); };
  };
  return {
      {.name = "Upgrade", .version = 2, .change = upgrade},
      {.name = "UpgradeWithNames",
       .cluster_bits = 13,
       .version = 2,
       .backing_file = "base",
       .change = upgrade},
      {.name = "Downgrade", .change = downgrade},
      {.name = "DowngradeOverBacking",
       .cluster_bits = 12,
       .backing_file = "base",
       .change = downgrade},
      {.name = "Narrower", .change = width(1)},
      {.name = "Wider", .change = width(64)},
      {.name = "Rename",
       .cluster_bits = 13,
       .backing_file = "base",
       .change = rename},
      {.name = "FirstName", .cluster_bits = 13, .change = rename},
      {.name = "FirstNameInSmallClusters", .change = rename},
      {.name = "LongName",
       .cluster_bits = 13,
       .backing_file = std::string(900, 'b'),
       .change = rename},
      {.name = "NoName",
       .cluster_bits = 13,
       .backing_file = "base",
       .change = orphan},
      {.name = "LazyRefcounts",
       .change = [](Image& image) { return SetLazyRefcounts(image, true); }},
  };
}

std::vector<ChangeCase> Cases() {
  std::vector<ChangeCase> cases = SizeCases();
  const std::vector<ChangeCase> others = HeaderCases();
  cases.insert(cases.end(), others.begin(), others.end());
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Changes, ChangeCrashTest, testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qcow2
