#include "engine/image/snapshots.h"

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/image/resize.h"
#include "engine/image/snapshot_disk.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/soundness.h"

namespace qcow2 {
namespace {

using testing::HasSubstr;

using Bytes = std::vector<std::byte>;

constexpr uint64_t kDiskBytes = 200000;

class SnapshotsTest : public testing::Test {
 protected:
  void Create(CreateOptions options) {
    options.virtual_size = kDiskBytes / 512 * 512;
    options.cluster_bits = 9;
    image_.reset();
    file_ = std::make_unique<MemoryFile>();
    ASSERT_EQ(CreateImage(*file_, options.data_file.empty() ? nullptr : &data_,
                          options),
              absl::OkStatus());
    Open(true);
  }
  void Open(bool writable) {
    image_.reset();
    ImageOptions options;
    options.writable = writable;
    options.data_file = std::make_unique<ForwardingFile>(data_);
    auto image = Image::Open(std::make_unique<ForwardingFile>(*file_),
                             std::move(options));
    ASSERT_EQ(image.status(), absl::OkStatus());
    image_ = *std::move(image);
  }
  ImageCore& core() { return image_->core(); }
  void Fill(int pattern, uint64_t offset, uint64_t length) {
    ASSERT_EQ(
        image_->Write(offset, Bytes(length, static_cast<std::byte>(pattern))),
        absl::OkStatus());
  }
  Bytes ReadAll() {
    Bytes bytes(image_->size_bytes());
    EXPECT_EQ(image_->Read(0, bytes), absl::OkStatus());
    return bytes;
  }
  absl::Status Take(const std::string& name) {
    NewSnapshot snapshot;
    snapshot.name = name;
    return CreateSnapshot(core(), snapshot).status();
  }
  // Also what is in memory is written.
  void ExpectClean() {
    ASSERT_EQ(image_->Close(), absl::OkStatus());
    EXPECT_EQ(FindingsOf(CheckFile(*file_)), "");
    Open(true);
  }

  std::unique_ptr<MemoryFile> file_;
  MemoryFile data_;
  std::unique_ptr<Image> image_;
};

TEST_F(SnapshotsTest, EntriesHoldWhatTheyWereGiven) {
  Create({});
  NewSnapshot snapshot;
  snapshot.name = "first";
  snapshot.id = "41";
  snapshot.date_seconds = 1700000000;
  snapshot.date_nanoseconds = 5;
  snapshot.vm_clock_nanoseconds = 1234567890123;
  snapshot.instruction_count = 99;
  ASSERT_EQ(CreateSnapshot(core(), snapshot).status(), absl::OkStatus());
  ASSERT_EQ(Take("second"), absl::OkStatus());
  ExpectClean();
  const std::vector<SnapshotEntry> entries = ListSnapshots(core());
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].id, "41");
  EXPECT_EQ(entries[0].name, "first");
  EXPECT_EQ(entries[0].date_seconds, 1700000000u);
  EXPECT_EQ(entries[0].date_nanoseconds, 5u);
  EXPECT_EQ(entries[0].vm_clock_nanoseconds, 1234567890123u);
  EXPECT_EQ(entries[0].disk_size(), image_->size_bytes());
  EXPECT_EQ(entries[0].instruction_count(), 99u);
  EXPECT_EQ(entries[1].id, "42");
  EXPECT_EQ(FindSnapshot(core(), "second")->id, "42");
  EXPECT_EQ(FindSnapshot(core(), "41")->name, "first");
  EXPECT_TRUE(absl::IsNotFound(FindSnapshot(core(), "43").status()));
}

TEST_F(SnapshotsTest, NamesAndIdsAreTakenOnce) {
  Create({});
  ASSERT_EQ(Take("a"), absl::OkStatus());
  EXPECT_TRUE(absl::IsAlreadyExists(Take("a")));
  NewSnapshot snapshot;
  snapshot.name = "b";
  snapshot.id = "1";
  EXPECT_TRUE(absl::IsAlreadyExists(CreateSnapshot(core(), snapshot).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Take("")));
  EXPECT_TRUE(absl::IsInvalidArgument(Take(std::string(256, 'x'))));
  EXPECT_TRUE(absl::IsInvalidArgument(Take(std::string("a\0b", 3))));
  EXPECT_EQ(ListSnapshots(core()).size(), 1u);
  ExpectClean();
}

TEST_F(SnapshotsTest, AreRefusedWhereTheyCannotBe) {
  CreateOptions options;
  options.data_file = "data";
  Create(options);
  EXPECT_THAT(std::string(Take("a").message()),
              HasSubstr("external data file"));
  Create({});
  ASSERT_EQ(Take("a"), absl::OkStatus());
  ASSERT_EQ(image_->Close(), absl::OkStatus());
  Open(false);
  EXPECT_TRUE(absl::IsFailedPrecondition(Take("b")));
  EXPECT_TRUE(absl::IsFailedPrecondition(ApplySnapshot(core(), "a")));
  EXPECT_TRUE(absl::IsFailedPrecondition(DeleteSnapshot(core(), "a")));
}

// Counts of one bit cannot count a second user: nothing has changed then.
TEST_F(SnapshotsTest, NarrowRefcountsChangeNothing) {
  CreateOptions options;
  options.refcount_bits = 1;
  Create(options);
  Fill(1, 0, 100000);
  EXPECT_TRUE(absl::IsOutOfRange(Take("a")));
  EXPECT_TRUE(ListSnapshots(core()).empty());
  Fill(2, 50000, 100000);
  ExpectClean();
}

// The first clusters can be counted once more, one behind them cannot.
TEST_F(SnapshotsTest, CountsThatWereRaisedInVainGoBack) {
  CreateOptions options;
  options.refcount_bits = 2;
  Create(options);
  Fill(1, 0, 100000);
  ASSERT_EQ(Take("a"), absl::OkStatus());
  ASSERT_EQ(Take("b"), absl::OkStatus());
  Fill(2, 0, 40000);
  EXPECT_TRUE(absl::IsOutOfRange(Take("c")));
  ExpectClean();
  const Bytes disk = ReadAll();
  ASSERT_EQ(DeleteSnapshot(core(), "a"), absl::OkStatus());
  EXPECT_EQ(Take("c"), absl::OkStatus());
  EXPECT_EQ(ReadAll(), disk);
  ExpectClean();
}

TEST_F(SnapshotsTest, ApplyingRestoresTheSize) {
  Create({});
  Fill(1, 0, 100000);
  const Bytes before = ReadAll();
  ASSERT_EQ(Take("small"), absl::OkStatus());
  ASSERT_EQ(ResizeImage(*image_, uint64_t{1} << 20, {}), absl::OkStatus());
  Fill(2, 500000, 300000);
  const Bytes after = ReadAll();
  ASSERT_EQ(Take("large"), absl::OkStatus());
  ASSERT_EQ(ApplySnapshot(core(), "small"), absl::OkStatus());
  EXPECT_EQ(ReadAll(), before);
  ExpectClean();
  ASSERT_EQ(ApplySnapshot(core(), "large"), absl::OkStatus());
  EXPECT_EQ(ReadAll(), after);
  ExpectClean();
}

TEST_F(SnapshotsTest, VmStateLiesBehindTheDisk) {
  Create({});
  Fill(1, 0, 100000);
  const Bytes disk = ReadAll();
  Bytes state(70001);
  for (size_t i = 0; i < state.size(); ++i) {
    state[i] = static_cast<std::byte>(i * 7 >> 3);
  }
  const std::span<const std::byte> all(state);
  ASSERT_EQ(WriteVmState(core(), 0, all.first(30000)), absl::OkStatus());
  ASSERT_EQ(WriteVmState(core(), 30000, all.subspan(30000)), absl::OkStatus());
  NewSnapshot snapshot;
  snapshot.name = "running";
  snapshot.vm_state_size = state.size();
  ASSERT_EQ(CreateSnapshot(core(), snapshot).status(), absl::OkStatus());
  ExpectClean();
  EXPECT_EQ(ReadAll(), disk);
  Fill(2, 0, 150000);
  // The next snapshot has none of it.
  ASSERT_EQ(WriteVmState(core(), 0, all.first(600)), absl::OkStatus());
  const auto running = SnapshotDisk::Open(core(), "running");
  ASSERT_EQ(running.status(), absl::OkStatus());
  EXPECT_EQ((*running)->entry().vm_state_size(), state.size());
  Bytes read(state.size() - 1);
  ASSERT_EQ((*running)->ReadVmState(1, read), absl::OkStatus());
  EXPECT_TRUE(std::equal(read.begin(), read.end(), state.begin() + 1));
  EXPECT_TRUE(absl::IsOutOfRange((*running)->ReadVmState(2, read)));
  ASSERT_EQ(ApplySnapshot(core(), "running"), absl::OkStatus());
  EXPECT_EQ(ReadAll(), disk);
  ExpectClean();
  ASSERT_EQ(DeleteSnapshot(core(), "running"), absl::OkStatus());
  EXPECT_EQ(ReadAll(), disk);
  ExpectClean();
}

TEST_F(SnapshotsTest, DiskOfADeletedSnapshotSaysSo) {
  Create({});
  Fill(1, 0, 100000);
  const Bytes before = ReadAll();
  ASSERT_EQ(Take("a"), absl::OkStatus());
  Fill(2, 0, 100000);
  const auto disk = SnapshotDisk::Open(core(), "a");
  ASSERT_EQ(disk.status(), absl::OkStatus());
  EXPECT_THAT((*disk)->name(), HasSubstr("snapshot a"));
  Bytes read((*disk)->size_bytes());
  ASSERT_EQ((*disk)->Read(0, read), absl::OkStatus());
  EXPECT_EQ(read, before);
  EXPECT_EQ((*disk)->ExtentAt(0, 1)->kind, GuestExtentKind::kData);
  EXPECT_EQ((*disk)->ExtentAt(150000, 512)->kind,
            GuestExtentKind::kUnallocated);
  EXPECT_TRUE(absl::IsOutOfRange((*disk)->Read(1, read)));
  EXPECT_TRUE(absl::IsFailedPrecondition((*disk)->Write(0, read)));
  ASSERT_EQ(DeleteSnapshot(core(), "a"), absl::OkStatus());
  EXPECT_TRUE(absl::IsFailedPrecondition((*disk)->Read(0, read)));
  EXPECT_TRUE(absl::IsFailedPrecondition((*disk)->ExtentAt(0, 1).status()));
}

TEST_F(SnapshotsTest, AnEmptyDiskHasSnapshotsToo) {
  CreateOptions options;
  file_ = std::make_unique<MemoryFile>();
  ASSERT_EQ(CreateImage(*file_, nullptr, options), absl::OkStatus());
  Open(true);
  ASSERT_EQ(Take("nothing"), absl::OkStatus());
  ExpectClean();
  ASSERT_EQ(ApplySnapshot(core(), "nothing"), absl::OkStatus());
  ExpectClean();
  ASSERT_EQ(DeleteSnapshot(core(), "nothing"), absl::OkStatus());
  ExpectClean();
}

}  // namespace
}  // namespace qcow2
