// Snapshots and qemu-img: what either takes, the other lists, reads, applies
// and deletes.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/image/image.h"
#include "engine/image/snapshot_disk.h"
#include "engine/image/snapshots.h"
#include "engine/storage/posix_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/differential/qemu_img.h"

namespace qcow2 {
namespace {

using testing::HasSubstr;
using testing::Not;

using Bytes = std::vector<std::byte>;

constexpr uint64_t kDiskBytes = uint64_t{3} << 20;

struct Kind {
  std::string name;
  std::string options;
};

class SnapshotsQemuTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (!HaveQemuImg()) GTEST_SKIP() << "there is no qemu-img";
    path_ = testing::TempDir() + "/snapshots_" + GetParam().name + ".qcow2";
    Run("qemu-img create -q -f qcow2 -o " + GetParam().options + " " + path_ +
        " 3M");
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string Run(const std::string& command) {
    std::string output;
    EXPECT_EQ(RunCommand(command, &output), 0) << command << "\n" << output;
    return output;
  }
  void QemuWrites(int pattern, const std::string& range) {
    Run("qemu-io -f qcow2 -c 'write -P " + std::to_string(pattern) + " " +
        range + "' " + path_);
  }
  std::unique_ptr<Image> Open(bool writable) {
    auto file = PosixFile::Open(path_, {.writable = writable});
    EXPECT_EQ(file.status(), absl::OkStatus());
    ImageOptions options;
    options.writable = writable;
    auto image = Image::Open(*std::move(file), std::move(options));
    EXPECT_EQ(image.status(), absl::OkStatus());
    return *std::move(image);
  }
  void WeWrite(int pattern, uint64_t offset, uint64_t length) {
    const auto image = Open(/*writable=*/true);
    const Bytes data(length, static_cast<std::byte>(pattern));
    ASSERT_EQ(image->Write(offset, data), absl::OkStatus());
    ASSERT_EQ(image->Close(), absl::OkStatus());
  }
  void WeTake(const std::string& name) {
    const auto image = Open(/*writable=*/true);
    NewSnapshot snapshot;
    snapshot.name = name;
    snapshot.date_seconds = 1700000000;
    ASSERT_EQ(CreateSnapshot(image->core(), snapshot).status(),
              absl::OkStatus());
    ASSERT_EQ(image->Close(), absl::OkStatus());
  }
  void WeDelete(const std::string& name) {
    const auto image = Open(/*writable=*/true);
    ASSERT_EQ(DeleteSnapshot(image->core(), name), absl::OkStatus());
    ASSERT_EQ(image->Close(), absl::OkStatus());
  }
  void WeApply(const std::string& name) {
    const auto image = Open(/*writable=*/true);
    ASSERT_EQ(ApplySnapshot(image->core(), name), absl::OkStatus());
    ASSERT_EQ(image->Close(), absl::OkStatus());
  }
  Bytes WeRead() {
    const auto image = Open(/*writable=*/false);
    Bytes bytes(image->size_bytes());
    EXPECT_EQ(image->Read(0, bytes), absl::OkStatus());
    return bytes;
  }
  Bytes WeReadSnapshot(const std::string& name) {
    const auto image = Open(/*writable=*/false);
    const auto disk = SnapshotDisk::Open(image->core(), name);
    EXPECT_EQ(disk.status(), absl::OkStatus());
    Bytes bytes((*disk)->size_bytes());
    EXPECT_EQ((*disk)->Read(0, bytes), absl::OkStatus());
    return bytes;
  }
  // The bytes of the disk, or of a snapshot, as qemu-img converts them.
  Bytes QemuReads(const std::string& snapshot = "") {
    const std::string raw = path_ + ".raw";
    Run("qemu-img convert -f qcow2 -O raw " +
        (snapshot.empty() ? "" : "-l snapshot.name=" + snapshot + " ") + path_ +
        " " + raw);
    std::ifstream stream(raw, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    std::filesystem::remove(raw);
    const auto* begin = reinterpret_cast<const std::byte*>(text.data());
    return Bytes(begin, begin + text.size());
  }
  void ExpectSound() {
    const QemuVerdict verdict = QemuCheck(path_);
    EXPECT_EQ(verdict.exit_code, 0)
        << verdict.corruptions << " corruptions, " << verdict.leaks << " leaks";
  }

  std::string path_;
};

TEST_P(SnapshotsQemuTest, OursAreQemusToUse) {
  WeWrite(1, 1000, 700000);
  WeTake("one");
  ExpectSound();
  const Bytes one = WeRead();
  WeWrite(2, 300000, 900000);
  QemuWrites(3, "2M 100k");
  WeTake("two");
  ExpectSound();
  const Bytes two = WeRead();
  QemuWrites(4, "0 1M");
  EXPECT_THAT(Run("qemu-img snapshot -l " + path_), HasSubstr("one"));
  EXPECT_THAT(Run("qemu-img snapshot -l " + path_), HasSubstr("two"));
  EXPECT_EQ(QemuReads("one"), one);
  EXPECT_EQ(QemuReads("two"), two);

  Run("qemu-img snapshot -a one " + path_);
  EXPECT_EQ(WeRead(), one);
  EXPECT_EQ(WeReadSnapshot("two"), two);
  ExpectSound();
  Run("qemu-img snapshot -d one " + path_);
  EXPECT_EQ(WeRead(), one);
  EXPECT_EQ(WeReadSnapshot("two"), two);
  ExpectSound();
  Run("qemu-img snapshot -d two " + path_);
  EXPECT_TRUE(ListSnapshots(Open(false)->core()).empty());
  EXPECT_EQ(WeRead(), one);
  ExpectSound();
}

TEST_P(SnapshotsQemuTest, QemusAreOursToUse) {
  QemuWrites(1, "1000 700000");
  Run("qemu-img snapshot -c one " + path_);
  const Bytes one = QemuReads();
  QemuWrites(2, "300000 900000");
  Run("qemu-img snapshot -c two " + path_);
  const Bytes two = QemuReads();
  WeWrite(4, 0, 1 << 20);
  const std::vector<SnapshotEntry> listed = ListSnapshots(Open(false)->core());
  ASSERT_EQ(listed.size(), 2u);
  EXPECT_EQ(listed[0].id, "1");
  EXPECT_EQ(listed[1].name, "two");
  EXPECT_EQ(listed[1].disk_size(), kDiskBytes);
  EXPECT_EQ(WeReadSnapshot("one"), one);
  EXPECT_EQ(WeReadSnapshot("two"), two);

  WeApply("1");
  EXPECT_EQ(QemuReads(), one);
  EXPECT_EQ(QemuReads("two"), two);
  ExpectSound();
  WeWrite(5, 512, 100000);
  const Bytes changed = WeRead();
  WeDelete("one");
  EXPECT_EQ(QemuReads(), changed);
  EXPECT_THAT(Run("qemu-img snapshot -l " + path_), Not(HasSubstr("one")));
  ExpectSound();
  WeTake("three");
  WeDelete("two");
  ExpectSound();
  EXPECT_EQ(QemuReads("three"), changed);
  WeDelete("three");
  EXPECT_EQ(QemuReads(), changed);
  ExpectSound();
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, SnapshotsQemuTest,
    testing::Values(Kind{"v2", "compat=0.10"}, Kind{"v3", "compat=1.1"},
                    Kind{"small", "cluster_size=512"},
                    Kind{"refcount_8", "refcount_bits=8,cluster_size=4k"},
                    Kind{"lazy", "lazy_refcounts=on,cluster_size=4k"},
                    Kind{"extended", "extended_l2=on,cluster_size=16k"},
                    Kind{"preallocated",
                         "preallocation=metadata,cluster_size=4k"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qcow2
