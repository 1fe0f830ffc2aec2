// Snapshots of a disk of another size, applied while the image has dirty
// bitmaps: what records says that all has changed, what does not keeps its
// bits, and a crash at any point leaves the old disk with its bitmaps or the
// new one with its own. QEMU reads the bitmaps as what they are.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/image/bitmaps.h"
#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/image/resize.h"
#include "engine/image/snapshots.h"
#include "engine/storage/memory_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "repair/journal/simulated_disk.h"
#include "tests/differential/qemu_img.h"
#include "tests/engine/small_image_test.h"
#include "tests/engine/soundness.h"
#include "tests/engine/variants.h"

namespace qcow2 {
namespace {

using repair::CallFault;
using repair::SimulatedDisk;
using testing::HasSubstr;
using Bytes = std::vector<std::byte>;

constexpr uint64_t kGranularity = 4096;
// Neither a multiple of the granularity nor of most cluster sizes.
constexpr uint64_t kSmall = (100 << 10) + 512;
constexpr uint64_t kLarge = (260 << 10) + 1024;

void Fill(Image& image, uint64_t first, uint64_t step, std::byte value) {
  const Bytes data(3000, value);
  for (uint64_t at = first; at + data.size() <= image.size_bytes();
       at += step) {
    ASSERT_EQ(image.Write(at, data), absl::OkStatus());
  }
}

std::optional<BitmapInfo> Info(Image& image, const std::string& name) {
  const auto list = ListBitmaps(image.core());
  EXPECT_EQ(list.status(), absl::OkStatus());
  for (const BitmapInfo& info : *list) {
    if (info.name == name) return info;
  }
  return std::nullopt;
}

class SnapshotBitmapsTest : public VariantTest {
 protected:
  // An image with a snapshot of a disk of `before` bytes, now one of `after`,
  // and bitmaps: "records" and, with something in it, "still".
  void Prepare(uint64_t before, uint64_t after) {
    CreateOptions create = GetParam().create;
    create.virtual_size = before;
    MemoryFile file;
    ASSERT_EQ(CreateImage(file, nullptr, create), absl::OkStatus());
    const auto image = Open(file);
    ASSERT_EQ(image.status(), absl::OkStatus());
    Fill(**image, 0, 20000, std::byte{0x11});
    in_snapshot_ = Contents(**image);
    ASSERT_EQ(CreateSnapshot((*image)->core(), {.name = "s"}).status(),
              absl::OkStatus());
    ASSERT_EQ(ResizeImage(**image, after, {.allow_shrink = true}),
              absl::OkStatus());
    for (const bool records : {true, false}) {
      ASSERT_EQ(
          AddBitmap((*image)->core(), {.name = records ? "records" : "still",
                                       .granularity_bytes = kGranularity,
                                       .records = records}),
          absl::OkStatus());
    }
    ASSERT_EQ((*image)->Write(50000, Bytes(9000, std::byte{0x22})),
              absl::OkStatus());
    ASSERT_EQ((*image)->Write(after - 100, Bytes(100, std::byte{0x22})),
              absl::OkStatus());
    ASSERT_EQ(
        MergeBitmap((*image)->core(), "records", (*image)->core(), "still"),
        absl::OkStatus());
    dirty_before_ = *Info(**image, "records")->dirty_bytes;
    active_ = Contents(**image);
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
    bytes_ = Bytes(file.bytes().begin(), file.bytes().end());
  }

  // Bytes of what both disks have that were written: 50000 to 59000.
  static constexpr uint64_t kDirtyInBoth = 3 * kGranularity;

  void ExpectApplied(Image& image) {
    ASSERT_EQ(image.size_bytes(), in_snapshot_.size());
    EXPECT_EQ(Contents(image), in_snapshot_);
    const auto records = Info(image, "records");
    ASSERT_TRUE(records.has_value());
    EXPECT_TRUE(records->records);
    EXPECT_FALSE(records->in_use);
    EXPECT_EQ(records->dirty_bytes, in_snapshot_.size());
    const auto still = Info(image, "still");
    ASSERT_TRUE(still.has_value());
    EXPECT_FALSE(still->records);
    const uint64_t at_old_end =
        active_.size() < in_snapshot_.size() ? kGranularity : 0;
    EXPECT_EQ(still->dirty_bytes, kDirtyInBoth + at_old_end);
  }
  void ExpectNotApplied(Image& image) {
    ASSERT_EQ(image.size_bytes(), active_.size());
    EXPECT_EQ(Contents(image), active_);
    for (const char* name : {"records", "still"}) {
      const auto info = Info(image, name);
      ASSERT_TRUE(info.has_value());
      EXPECT_FALSE(info->in_use);
      EXPECT_EQ(info->dirty_bytes, dirty_before_);
    }
  }

  void CrashEverywhere() {
    SimulatedDisk disk(bytes_);
    disk.KeepSectorsWhole();
    {
      const auto image = Open(disk.image());
      ASSERT_EQ(image.status(), absl::OkStatus());
      ASSERT_EQ(ApplySnapshot((*image)->core(), "s"), absl::OkStatus());
      ASSERT_EQ((*image)->Close(), absl::OkStatus());
    }
    int applied = 0;
    int not_applied = 0;
    AtEveryCrash(disk, 0, 4, [&](MemoryFile& file, size_t operations) {
      const checker::CheckReport report = CheckFile(file);
      if (!report.Found(checker::Problem::kDirtyBit)) {
        ASSERT_EQ(TrueCorruptions(report), 0u) << FindingsOf(report);
      }
      const auto image = Open(file, /*writable=*/false);
      ASSERT_EQ(image.status(), absl::OkStatus());
      const bool is_new = (*image)->size_bytes() == in_snapshot_.size();
      ++(is_new ? applied : not_applied);
      ASSERT_TRUE(is_new || operations < disk.operations());
      is_new ? ExpectApplied(**image) : ExpectNotApplied(**image);
    });
    EXPECT_GT(applied, 5);
    EXPECT_GT(not_applied, 5);
  }

  Bytes bytes_;
  Bytes in_snapshot_;
  Bytes active_;
  uint64_t dirty_before_ = 0;
};

TEST_P(SnapshotBitmapsTest, FollowTheDiskToItsSize) {
  for (const auto& [before, after] :
       {std::pair(kSmall, kLarge), std::pair(kLarge, kSmall)}) {
    Prepare(before, after);
    if (HasFailure()) return;
    MemoryFile file(bytes_);
    auto image = Open(file);
    ASSERT_EQ(image.status(), absl::OkStatus());
    // Recorded and not yet stored.
    ASSERT_EQ((*image)->Write(0, Bytes(1, std::byte{0x33})), absl::OkStatus());
    ASSERT_EQ(ApplySnapshot((*image)->core(), "s"), absl::OkStatus());
    ExpectApplied(**image);
    // What comes after is recorded as before.
    ASSERT_EQ(ClearBitmap((*image)->core(), "records"), absl::OkStatus());
    ASSERT_EQ((*image)->Write(before - 1, Bytes(1, std::byte{0x44})),
              absl::OkStatus());
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
    EXPECT_EQ(FindingsOf(CheckFile(file)), "");
    image = Open(file);
    EXPECT_EQ(Info(**image, "records")->dirty_bytes, before % kGranularity);
  }
}

TEST_P(SnapshotBitmapsTest, SurviveACrashWhenTheDiskShrinks) {
  Prepare(kSmall, kLarge);
  CrashEverywhere();
}

TEST_P(SnapshotBitmapsTest, SurviveACrashWhenTheDiskGrows) {
  Prepare(kLarge, kSmall);
  CrashEverywhere();
}

// The image is the old one or the new one.
TEST_P(SnapshotBitmapsTest, SurviveEveryFault) {
  Prepare(kSmall, kLarge);
  AtEveryFault(bytes_, [&](SimulatedDisk& disk, const CallFault& fault) {
    auto image = Open(disk.image());
    ASSERT_EQ(image.status(), absl::OkStatus());
    disk.FailCalls(fault);
    const absl::Status status = ApplySnapshot((*image)->core(), "s");
    const absl::Status closed = (*image)->Close();
    image->reset();
    SCOPED_TRACE(testing::Message() << status << ", close: " << closed);
    MemoryFile file(disk.image_contents());
    const checker::CheckReport report = CheckFile(file);
    if (!report.Found(checker::Problem::kDirtyBit)) {
      ASSERT_EQ(TrueCorruptions(report), 0u) << FindingsOf(report);
    }
    const auto again = Open(file, /*writable=*/false);
    ASSERT_EQ(again.status(), absl::OkStatus());
    (*again)->size_bytes() == in_snapshot_.size() ? ExpectApplied(**again)
                                                  : ExpectNotApplied(**again);
  });
}

std::vector<EngineVariant> Variants() {
  std::vector<EngineVariant> some = SmallVariants();
  std::erase_if(some, [](const EngineVariant& variant) {
    return variant.create.version < 3 || variant.create.refcount_bits == 1;
  });
  return some;
}

INSTANTIATE_TEST_SUITE_P(Variants, SnapshotBitmapsTest,
                         testing::ValuesIn(Variants()),
                         [](const auto& info) { return info.param.name; });

// An inconsistent bitmap cannot follow: nothing is changed, and the message
// says what to do.
TEST(SnapshotBitmapsInUseTest, AreInTheWay) {
  MemoryFile file;
  CreateOptions create;
  create.virtual_size = kSmall;
  ASSERT_EQ(CreateImage(file, nullptr, create), absl::OkStatus());
  const EngineVariant variant{"plain", create, ""};
  Bytes in_use;
  {
    const auto image = OpenUncached(variant, file);
    ASSERT_EQ(image.status(), absl::OkStatus());
    ASSERT_EQ(CreateSnapshot((*image)->core(), {.name = "s"}).status(),
              absl::OkStatus());
    ASSERT_EQ(ResizeImage(**image, kLarge, {}), absl::OkStatus());
    ASSERT_EQ(AddBitmap((*image)->core(), {.name = "b"}), absl::OkStatus());
    ASSERT_EQ((*image)->Write(0, Bytes(10)), absl::OkStatus());
    ASSERT_EQ((*image)->Flush(), absl::OkStatus());
    in_use.assign(file.bytes().begin(), file.bytes().end());
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
  }
  MemoryFile crashed(in_use);
  const auto image = OpenUncached(variant, crashed);
  ASSERT_EQ(image.status(), absl::OkStatus());
  const absl::Status status = ApplySnapshot((*image)->core(), "s");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("can only be removed"));
  EXPECT_EQ((*image)->size_bytes(), kLarge);
  ASSERT_EQ(RemoveBitmap((*image)->core(), "b"), absl::OkStatus());
  ASSERT_EQ(ApplySnapshot((*image)->core(), "s"), absl::OkStatus());
  ASSERT_EQ((*image)->Close(), absl::OkStatus());
  EXPECT_EQ(FindingsOf(CheckFile(crashed)), "");
}

class SnapshotBitmapsQemuTest : public SnapshotBitmapsTest {};

TEST_P(SnapshotBitmapsQemuTest, AreWhatQemuReads) {
  if (!HaveQemuImg()) GTEST_SKIP() << "there is no qemu-img";
  Prepare(kSmall, kLarge);
  MemoryFile file(bytes_);
  {
    const auto image = Open(file);
    ASSERT_EQ(image.status(), absl::OkStatus());
    ASSERT_EQ(ApplySnapshot((*image)->core(), "s"), absl::OkStatus());
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
  }
  const std::string path = testing::TempDir() + "/applied.qcow2";
  {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(file.bytes().data()),
              static_cast<std::streamsize>(file.bytes().size()));
  }
  EXPECT_EQ(QemuCheck(path).exit_code, 0);
  std::string info;
  EXPECT_EQ(RunCommand("qemu-img info " + path + " 2>&1", &info), 0);
  EXPECT_THAT(info, HasSubstr("(" + std::to_string(kSmall) + " bytes)"));
  EXPECT_THAT(info, HasSubstr("name: records"));
  EXPECT_THAT(info, HasSubstr("name: still"));
  EXPECT_THAT(info, testing::Not(HasSubstr("in-use")));
  // It merges them: it finds bits of the right size.
  std::string output;
  EXPECT_EQ(
      RunCommand("qemu-img bitmap --merge records " + path + " still 2>&1",
                 &output),
      0)
      << output;
  std::filesystem::remove(path);
}

INSTANTIATE_TEST_SUITE_P(Variants, SnapshotBitmapsQemuTest,
                         testing::ValuesIn(Variants()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qcow2
