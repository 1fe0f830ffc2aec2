// An image that is emptied shows what is below, keeps its snapshots and VM
// state, and is sound at every crash point: each part of the disk reads as
// before or as what is below.
#include "engine/image/empty_image.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/image/bitmaps.h"
#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/image/snapshot_disk.h"
#include "engine/image/snapshots.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"
#include "repair/journal/simulated_disk.h"
#include "tests/engine/small_image_test.h"
#include "tests/engine/soundness.h"
#include "tests/engine/variants.h"

namespace qcow2 {
namespace {

using repair::SimulatedDisk;
using repair::Survival;
using Bytes = std::vector<std::byte>;

// Of the disk that shows when the image is empty: zeros.
bool IsOldOrZero(const Bytes& now, const Bytes& old, uint64_t unit) {
  for (uint64_t at = 0; at < now.size(); at += unit) {
    const uint64_t length = std::min(unit, now.size() - at);
    const auto begin = now.begin() + static_cast<ptrdiff_t>(at);
    const auto end = begin + static_cast<ptrdiff_t>(length);
    const bool zero =
        std::all_of(begin, end, [](std::byte b) { return b == std::byte{0}; });
    if (!zero &&
        !std::equal(begin, end, old.begin() + static_cast<ptrdiff_t>(at))) {
      return false;
    }
  }
  return true;
}

class EmptyImageTest : public VariantTest {
 protected:
  static constexpr uint64_t kVmStateBytes = 5000;

  void SetUp() override {
    CreateOptions create = GetParam().create;
    // Three windows of small L2 tables.
    create.virtual_size =
        std::min<uint64_t>(150 << create.cluster_bits, 500 << 10) + 512;
    MemoryFile file;
    ASSERT_EQ(CreateImage(file, nullptr, create), absl::OkStatus());
    const auto image = Open(file);
    ASSERT_EQ(image.status(), absl::OkStatus());
    Fill(**image, 0, 13000, std::byte{1});
    with_snapshot_ = create.refcount_bits > 1;
    if (with_snapshot_) {
      in_snapshot_ = Contents(**image);
      ASSERT_EQ(CreateSnapshot((*image)->core(), {.name = "s"}).status(),
                absl::OkStatus());
    }
    Fill(**image, 6000, 39000, std::byte{2});
    if (create.version >= 3) {
      ASSERT_EQ(AddBitmap((*image)->core(), {.name = "b"}), absl::OkStatus());
    }
    ASSERT_EQ(
        WriteVmState((*image)->core(), 0, Bytes(kVmStateBytes, std::byte{3})),
        absl::OkStatus());
    before_ = Contents(**image);
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
    bytes_ = Bytes(file.bytes().begin(), file.bytes().end());
  }

  static void Fill(Image& image, uint64_t first, uint64_t step,
                   std::byte value) {
    const Bytes data(3000, value);
    for (uint64_t at = first; at + data.size() <= image.size_bytes();
         at += step) {
      ASSERT_EQ(image.Write(at, data), absl::OkStatus());
    }
  }
  void ExpectSnapshot(Image& image) {
    if (!with_snapshot_) return;
    const auto disk = SnapshotDisk::Open(image.core(), "s");
    ASSERT_EQ(disk.status(), absl::OkStatus());
    Bytes read(in_snapshot_.size());
    ASSERT_EQ((*disk)->Read(0, read), absl::OkStatus());
    ASSERT_TRUE(read == in_snapshot_);
  }

  Bytes bytes_;
  Bytes before_;
  bool with_snapshot_ = false;
  Bytes in_snapshot_;
};

TEST_P(EmptyImageTest, ShowsWhatIsBelow) {
  MemoryFile file(bytes_);
  const auto image = Open(file);
  ASSERT_EQ(image.status(), absl::OkStatus());
  ASSERT_EQ(EmptyImage((*image)->core()), absl::OkStatus());
  EXPECT_EQ(Contents(**image), Bytes(before_.size()));
  const auto extent = (*image)->ExtentAt(0, before_.size());
  ASSERT_EQ(extent.status(), absl::OkStatus());
  EXPECT_EQ(extent->length_bytes, before_.size());
  ExpectSnapshot(**image);
  if (GetParam().create.version >= 3) {
    // The disk has not changed for its guest.
    EXPECT_EQ(ListBitmaps((*image)->core())->at(0).dirty_bytes, 0u);
  }
  // The VM state is there to be taken by a snapshot.
  if (with_snapshot_) {
    ASSERT_EQ(CreateSnapshot((*image)->core(),
                             {.name = "vm", .vm_state_size = kVmStateBytes})
                  .status(),
              absl::OkStatus());
    const auto disk = SnapshotDisk::Open((*image)->core(), "vm");
    ASSERT_EQ(disk.status(), absl::OkStatus());
    Bytes state(kVmStateBytes);
    ASSERT_EQ((*disk)->ReadVmState(0, state), absl::OkStatus());
    EXPECT_EQ(state, Bytes(kVmStateBytes, std::byte{3}));
  }
  // It can be written again.
  Fill(**image, 1000, 17000, std::byte{4});
  const Bytes after = Contents(**image);
  ASSERT_EQ((*image)->Close(), absl::OkStatus());
  EXPECT_EQ(FindingsOf(CheckFile(file)), "");
  EXPECT_TRUE(Contents(**Open(file)) == after);
}

TEST_P(EmptyImageTest, IsSoundAtEveryCrash) {
  SimulatedDisk disk(bytes_);
  disk.KeepSectorsWhole();
  {
    const auto image = Open(disk.image());
    ASSERT_EQ(image.status(), absl::OkStatus());
    ASSERT_EQ(EmptyImage((*image)->core()), absl::OkStatus());
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
  }
  const uint64_t unit = uint64_t{1} << GetParam().create.cluster_bits;
  AtEveryCrash(disk, 0, 6, [&](MemoryFile& file, size_t) {
    const checker::CheckReport report = CheckFile(file);
    if (!report.Found(checker::Problem::kDirtyBit)) {
      ASSERT_EQ(TrueCorruptions(report), 0u) << FindingsOf(report);
    }
    const auto image = Open(file, /*writable=*/false);
    ASSERT_EQ(image.status(), absl::OkStatus());
    ASSERT_TRUE(IsOldOrZero(Contents(**image), before_, unit));
    ExpectSnapshot(**image);
  });
}

INSTANTIATE_TEST_SUITE_P(Variants, EmptyImageTest,
                         testing::ValuesIn(SmallVariants()),
                         [](const auto& info) { return info.param.name; });

// A data file that tells when space is given back.
class WatchedDataFile : public ForwardingFile {
 public:
  WatchedDataFile(File& target, std::function<void()> before_punch)
      : ForwardingFile(target), before_punch_(std::move(before_punch)) {}

  absl::Status PunchHole(ByteRange range) override {
    before_punch_();
    return ForwardingFile::PunchHole(range);
  }

 private:
  std::function<void()> before_punch_;
};

// Its bytes go when no image that a crash may leave names them any more.
TEST(EmptyImageWithDataFileTest, GivesTheDataBackLast) {
  constexpr uint64_t kSize = 100 << 10;
  CreateOptions create;
  create.cluster_bits = 9;
  create.virtual_size = kSize;
  create.data_file = "data";
  const EngineVariant variant{"data_file", create, ""};
  MemoryFile created;
  MemoryFile data;
  ASSERT_EQ(CreateImage(created, &data, create), absl::OkStatus());
  const auto open = [&](File& file, File& data_file, bool writable) {
    ImageOptions options;
    options.writable = writable;
    return *variant.Open(file, data_file, std::move(options));
  };
  {
    const auto image = open(created, data, true);
    ASSERT_EQ(image->Write(0, Bytes(kSize, std::byte{5})), absl::OkStatus());
    ASSERT_EQ(image->Close(), absl::OkStatus());
  }
  SimulatedDisk disk({created.bytes().begin(), created.bytes().end()});
  std::mt19937_64 random(4);
  int punched = 0;
  WatchedDataFile watched(data, [&] {
    ++punched;
    const auto crashed =
        disk.AfterCrash(disk.operations(), Survival::kNothing, random);
    MemoryFile file(crashed->image_contents());
    const auto image = open(file, data, false);
    const auto extent = image->ExtentAt(0, kSize);
    ASSERT_EQ(extent.status(), absl::OkStatus());
    EXPECT_EQ(extent->kind, GuestExtentKind::kUnallocated);
    EXPECT_EQ(extent->length_bytes, kSize);
  });
  const auto image = open(disk.image(), watched, true);
  ASSERT_EQ(EmptyImage(image->core()), absl::OkStatus());
  EXPECT_EQ(punched, 1);
  EXPECT_EQ(Contents(*image), Bytes(kSize));
  ASSERT_EQ(image->Close(), absl::OkStatus());
  EXPECT_EQ(FindingsOf(CheckFile(MemoryFile(disk.image_contents()))), "");
}

}  // namespace
}  // namespace qcow2
