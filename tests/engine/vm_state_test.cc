// VM state next to a disk whose size changes: a snapshot keeps its size and its
// VM state, whatever becomes of the disk, and no VM state shows as the disk's
// bytes. With crashes at every point, and with QEMU.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/image/resize.h"
#include "engine/image/snapshot_disk.h"
#include "engine/image/snapshots.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/posix_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "repair/journal/simulated_disk.h"
#include "tests/differential/qemu_img.h"
#include "tests/engine/small_image_test.h"
#include "tests/engine/soundness.h"
#include "tests/engine/variants.h"

namespace qcow2 {
namespace {

using repair::SimulatedDisk;
using testing::HasSubstr;
using testing::Not;
using Bytes = std::vector<std::byte>;

constexpr std::byte kDisk{1};
constexpr std::byte kState{7};

class VmStateTest : public VariantTest {
 protected:
  // An image with VM state in snapshot "vm", and other VM state that no
  // snapshot has.
  void SetUp() override {
    CreateOptions create = GetParam().create;
    const uint64_t cluster = uint64_t{1} << create.cluster_bits;
    const uint64_t window = cluster * (cluster / (create.extended_l2 ? 16 : 8));
    small_ = std::min<uint64_t>(window / 2, 100 << 10);
    // So that the disk will lie where VM state was.
    large_ = window + 3 * cluster;
    state_bytes_ = 5 * cluster + 100;
    create.virtual_size = small_;
    MemoryFile file;
    ASSERT_EQ(CreateImage(file, nullptr, create), absl::OkStatus());
    const auto image = Open(file);
    ASSERT_EQ(image.status(), absl::OkStatus());
    ASSERT_EQ((*image)->Write(0, Bytes(small_, kDisk)), absl::OkStatus());
    ASSERT_EQ(WriteVmState((*image)->core(), 0, Bytes(state_bytes_, kState)),
              absl::OkStatus());
    ASSERT_EQ(CreateSnapshot((*image)->core(),
                             {.name = "vm", .vm_state_size = state_bytes_})
                  .status(),
              absl::OkStatus());
    ASSERT_EQ(
        WriteVmState((*image)->core(), 0, Bytes(state_bytes_, std::byte{9})),
        absl::OkStatus());
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
    bytes_ = Bytes(file.bytes().begin(), file.bytes().end());
  }
  void ExpectSnapshot(Image& image) const {
    const auto disk = SnapshotDisk::Open(image.core(), "vm");
    ASSERT_EQ(disk.status(), absl::OkStatus());
    ASSERT_EQ((*disk)->size_bytes(), small_);
    Bytes read(small_);
    ASSERT_EQ((*disk)->Read(0, read), absl::OkStatus());
    ASSERT_TRUE(read == Bytes(small_, kDisk));
    Bytes state(state_bytes_);
    ASSERT_EQ((*disk)->ReadVmState(0, state), absl::OkStatus());
    ASSERT_TRUE(state == Bytes(state_bytes_, kState));
  }
  // The first `size` bytes of the disk are as they were, the others zeros.
  void ExpectGrown(Image& image) const {
    Bytes expected(image.size_bytes());
    std::fill_n(expected.begin(), small_, kDisk);
    ASSERT_TRUE(Contents(image) == expected);
  }

  uint64_t small_ = 0;
  uint64_t large_ = 0;
  uint64_t state_bytes_ = 0;
  Bytes bytes_;
};

TEST_P(VmStateTest, StaysWithItsSnapshotWhenTheDiskGrows) {
  MemoryFile file(bytes_);
  const auto image = Open(file);
  ASSERT_EQ(image.status(), absl::OkStatus());
  ASSERT_EQ(ResizeImage(**image, large_, {}), absl::OkStatus());
  ExpectGrown(**image);
  ExpectSnapshot(**image);
  // Nothing is left of the state that no snapshot has, behind the end either.
  Bytes behind(4 * ((*image)->geometry().cluster_size()));
  ASSERT_EQ(ReadGuest((*image)->core(), nullptr, large_, behind),
            absl::OkStatus());
  EXPECT_EQ(behind, Bytes(behind.size()));
  // New VM state finds its place behind the new end.
  const Bytes other(state_bytes_, std::byte{11});
  ASSERT_EQ(WriteVmState((*image)->core(), 0, other), absl::OkStatus());
  ASSERT_EQ(CreateSnapshot((*image)->core(),
                           {.name = "vm2", .vm_state_size = state_bytes_})
                .status(),
            absl::OkStatus());
  ExpectGrown(**image);
  ASSERT_EQ(ApplySnapshot((*image)->core(), "vm"), absl::OkStatus());
  EXPECT_EQ((*image)->size_bytes(), small_);
  ExpectGrown(**image);
  ExpectSnapshot(**image);
  {
    const auto disk = SnapshotDisk::Open((*image)->core(), "vm2");
    ASSERT_EQ(disk.status(), absl::OkStatus());
    Bytes state(state_bytes_);
    ASSERT_EQ((*disk)->ReadVmState(0, state), absl::OkStatus());
    EXPECT_TRUE(state == other);
  }
  ASSERT_EQ(ApplySnapshot((*image)->core(), "vm2"), absl::OkStatus());
  EXPECT_EQ((*image)->size_bytes(), large_);
  ExpectGrown(**image);
  ASSERT_EQ(ResizeImage(**image, small_, {.allow_shrink = true}),
            absl::OkStatus());
  ExpectGrown(**image);
  ExpectSnapshot(**image);
  ASSERT_EQ((*image)->Close(), absl::OkStatus());
  EXPECT_EQ(FindingsOf(CheckFile(file)), "");
}

// As long as its place is the same, VM state waits for its snapshot.
TEST_P(VmStateTest, StaysWhereItBeginsAtTheSamePlace) {
  MemoryFile file(bytes_);
  const auto image = Open(file);
  ASSERT_EQ(image.status(), absl::OkStatus());
  ASSERT_EQ(ResizeImage(**image, small_ + 512, {}), absl::OkStatus());
  ASSERT_EQ(CreateSnapshot((*image)->core(),
                           {.name = "later", .vm_state_size = state_bytes_})
                .status(),
            absl::OkStatus());
  const auto disk = SnapshotDisk::Open((*image)->core(), "later");
  ASSERT_EQ(disk.status(), absl::OkStatus());
  Bytes state(state_bytes_);
  ASSERT_EQ((*disk)->ReadVmState(0, state), absl::OkStatus());
  EXPECT_TRUE(state == Bytes(state_bytes_, std::byte{9}));
  ASSERT_EQ((*image)->Close(), absl::OkStatus());
  EXPECT_EQ(FindingsOf(CheckFile(file)), "");
}

TEST_P(VmStateTest, NeverShowsAfterACrash) {
  SimulatedDisk disk(bytes_);
  disk.KeepSectorsWhole();
  {
    const auto image = Open(disk.image());
    ASSERT_EQ(image.status(), absl::OkStatus());
    ASSERT_EQ(ResizeImage(**image, large_, {}), absl::OkStatus());
    ASSERT_EQ((*image)->Close(), absl::OkStatus());
  }
  AtEveryCrash(disk, 0, 4, [&](MemoryFile& file, size_t operations) {
    const checker::CheckReport report = CheckFile(file);
    if (!report.Found(checker::Problem::kDirtyBit)) {
      ASSERT_EQ(TrueCorruptions(report), 0u) << FindingsOf(report);
    }
    const auto image = Open(file, /*writable=*/false);
    ASSERT_EQ(image.status(), absl::OkStatus());
    const uint64_t size = (*image)->size_bytes();
    ASSERT_TRUE(size == large_ || size == small_);
    ASSERT_TRUE(size == large_ || operations < disk.operations());
    ExpectGrown(**image);
    ExpectSnapshot(**image);
  });
}

std::vector<EngineVariant> Variants() {
  std::vector<EngineVariant> some = SmallVariants();
  // Two bits do not count the snapshots of a test. A disk that reaches past a
  // window of larger tables is too long to be read at each crash.
  std::erase_if(some, [](const EngineVariant& variant) {
    return variant.create.version < 3 || variant.create.refcount_bits <= 2 ||
           variant.create.cluster_bits > 12;
  });
  return some;
}

INSTANTIATE_TEST_SUITE_P(Variants, VmStateTest, testing::ValuesIn(Variants()),
                         [](const auto& info) { return info.param.name; });

// Images of QEMU, which leaves VM state in the active table when it applies a
// snapshot that has some.
class VmStateQemuTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HaveQemuImg()) GTEST_SKIP() << "there is no qemu-img";
    char name[] = "/tmp/vm-state-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    path_ = folder_ / "image.qcow2";
    Run("qemu-img create -q -f qcow2 -o cluster_size=4k " + path_ + " 1M");
    Run("qemu-io -c 'write -P 1 0 1M' -c 'write -b -P 7 0 200k' " + path_);
    Run("qemu-img snapshot -c vm " + path_);
    Run("qemu-img snapshot -a vm " + path_);
    ExpectState();
  }
  void TearDown() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  std::string Run(const std::string& command) {
    std::string output;
    EXPECT_EQ(RunCommand(command + " 2>&1", &output), 0) << command << output;
    // qemu-io does not always exit with it.
    EXPECT_THAT(output, Not(HasSubstr("verification failed"))) << command;
    return output;
  }
  // QEMU loads it.
  void ExpectState() { Run("qemu-io -c 'read -b -P 7 0 200k' " + path_); }
  void ExpectClean() {
    EXPECT_EQ(QemuCheck(path_).exit_code, 0);
    auto file = PosixFile::Open(path_, {});
    ASSERT_EQ(file.status(), absl::OkStatus());
    EXPECT_EQ(FindingsOf(CheckFile(**file)), "");
  }
  std::unique_ptr<Image> Open() {
    auto file = PosixFile::Open(path_, {.writable = true});
    EXPECT_EQ(file.status(), absl::OkStatus());
    ImageOptions options;
    options.writable = true;
    auto image = Image::Open(*std::move(file), std::move(options));
    EXPECT_EQ(image.status(), absl::OkStatus());
    return *std::move(image);
  }

  std::filesystem::path folder_;
  std::string path_;
};

TEST_F(VmStateQemuTest, DoesNotShowWhenTheDiskGrows) {
  {
    const auto image = Open();
    // An L2 table has 2 MiB; VM state lies from there on.
    ASSERT_EQ(ResizeImage(*image, 5 << 20, {}), absl::OkStatus());
    Bytes expected(5 << 20);
    std::fill_n(expected.begin(), 1 << 20, kDisk);
    EXPECT_TRUE(Contents(*image) == expected);
    ASSERT_EQ(image->Close(), absl::OkStatus());
  }
  ExpectClean();
  Run("qemu-io -c 'read -P 1 0 1M' -c 'read -P 0 1M 4M' " + path_);
  // The snapshot has kept it, and its size.
  Run("qemu-img snapshot -a vm " + path_);
  ExpectState();
  Run("qemu-io -c 'read -P 1 0 1M' " + path_);
  EXPECT_THAT(Run("qemu-img info " + path_), HasSubstr("(1048576 bytes)"));
  ExpectClean();
}

TEST_F(VmStateQemuTest, ComesBackWithItsSnapshot) {
  {
    const auto image = Open();
    ASSERT_EQ(ResizeImage(*image, 5 << 20, {}), absl::OkStatus());
    ASSERT_EQ(image->Write(3 << 20, Bytes(1 << 20, std::byte{5})),
              absl::OkStatus());
    ASSERT_EQ(ApplySnapshot(image->core(), "vm"), absl::OkStatus());
    EXPECT_TRUE(Contents(*image) == Bytes(1 << 20, kDisk));
    ASSERT_EQ(image->Close(), absl::OkStatus());
  }
  ExpectClean();
  Run("qemu-io -c 'read -P 1 0 1M' " + path_);
  Run("qemu-img snapshot -a vm " + path_);
  ExpectState();
  ExpectClean();
}

// What QEMU wrote there our snapshot takes along, and QEMU loads it from it.
TEST_F(VmStateQemuTest, IsTakenByASnapshotOfOurs) {
  {
    const auto image = Open();
    ASSERT_EQ(CreateSnapshot(image->core(),
                             {.name = "ours", .vm_state_size = 200 << 10})
                  .status(),
              absl::OkStatus());
    ASSERT_EQ(ResizeImage(*image, 5 << 20, {}), absl::OkStatus());
    const auto disk = SnapshotDisk::Open(image->core(), "ours");
    ASSERT_EQ(disk.status(), absl::OkStatus());
    Bytes state(200 << 10);
    ASSERT_EQ((*disk)->ReadVmState(0, state), absl::OkStatus());
    EXPECT_TRUE(state == Bytes(200 << 10, kState));
    ASSERT_EQ(DeleteSnapshot(image->core(), "vm"), absl::OkStatus());
    ASSERT_EQ(image->Close(), absl::OkStatus());
  }
  ExpectClean();
  Run("qemu-img snapshot -a ours " + path_);
  ExpectState();
  ExpectClean();
}

}  // namespace
}  // namespace qcow2
