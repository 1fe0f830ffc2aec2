#include "engine/image/raw_disk.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/storage/faulty_file.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/posix_file.h"
#include "engine/storage/recording_file.h"
#include "engine/storage/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<RawDisk> OpenDisk(std::unique_ptr<File> file,
                                  bool writable = true) {
  auto disk = RawDisk::Open(std::move(file), writable);
  EXPECT_TRUE(disk.ok()) << disk.status();
  return disk.ok() ? *std::move(disk) : nullptr;
}

// A disk over a file that outlives it.
std::unique_ptr<RawDisk> DiskOver(File& file, bool writable = true) {
  return OpenDisk(std::make_unique<ForwardingFile>(file), writable);
}

std::string DiskText(RawDisk& disk, uint64_t offset, size_t length) {
  std::vector<std::byte> buffer(length);
  const absl::Status status = disk.Read(offset, buffer);
  if (!status.ok()) return status.ToString();
  std::string text;
  for (const std::byte byte : buffer) text += static_cast<char>(byte);
  return text;
}

TEST(RawDiskTest, IsTheFile) {
  MemoryFile file(Bytes("abcdefgh"), "disk.raw");
  const auto disk = DiskOver(file);
  EXPECT_EQ(disk->name(), "disk.raw");
  EXPECT_EQ(disk->size_bytes(), 8u);
  EXPECT_TRUE(disk->writable());
  EXPECT_EQ(DiskText(*disk, 2, 3), "cde");
  ASSERT_TRUE(disk->Write(1, Bytes("XY")).ok());
  ASSERT_TRUE(disk->WriteZeroes(4, 1, ZeroMode::kKeep).ok());
  ASSERT_TRUE(disk->WriteZeroes(5, 1, ZeroMode::kUnmap).ok());
  ASSERT_TRUE(disk->Discard(6, 1).ok());
  ASSERT_TRUE(disk->Flush().ok());
  EXPECT_EQ(ReadText(file, 0, 10), std::string("aXYd\0\0\0h", 8));
}

TEST(RawDiskTest, EndsWhereTheFileDid) {
  MemoryFile file(Bytes("abcdefgh"));
  const auto disk = DiskOver(file);
  std::vector<std::byte> buffer(4);
  EXPECT_TRUE(disk->Read(4, buffer).ok());
  EXPECT_TRUE(disk->Write(8, {}).ok());
  const uint64_t huge = ~uint64_t{0};
  EXPECT_EQ(disk->Read(5, buffer).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(disk->Read(huge, buffer).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(disk->Write(5, buffer).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(disk->Discard(1, huge).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(disk->WriteZeroes(8, 1, ZeroMode::kKeep).code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(disk->ExtentAt(9, 1).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(ReadText(file, 0, 10), "abcdefgh");

  ASSERT_TRUE(file.Truncate(6).ok());
  const absl::Status status = disk->Read(4, buffer);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ends at offset 6"));
}

TEST(RawDiskTest, ReadOnlyDiskRefusesChanges) {
  MemoryFile memory(Bytes("abcdefgh"));
  RecordingFile file(memory);
  const auto disk = DiskOver(file, false);
  EXPECT_FALSE(disk->writable());
  for (const absl::Status& status :
       {disk->Write(0, Bytes("x")), disk->Discard(0, 1),
        disk->WriteZeroes(0, 1, ZeroMode::kKeep),
        disk->WriteZeroes(0, 1, ZeroMode::kUnmap)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_TRUE(disk->Flush().ok());
  EXPECT_TRUE(file.operations().empty());
}

TEST(RawDiskTest, PassesErrorsOn) {
  MemoryFile memory(Bytes("abcdefgh"));
  FaultyFile file(memory);
  const auto disk = DiskOver(file);
  for (const FileOperation operation :
       {FileOperation::kPread, FileOperation::kPwrite, FileOperation::kFlush,
        FileOperation::kPunchHole}) {
    file.FailOn({.operation = operation, .error = ENOSPC});
  }
  std::vector<std::byte> buffer(4);
  for (const absl::Status& status :
       {disk->Read(0, buffer), disk->Write(0, buffer), disk->Flush(),
        disk->Discard(0, 1)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  }
  file.FailOn({.operation = FileOperation::kPwrite});
  EXPECT_FALSE(disk->WriteZeroes(0, 1, ZeroMode::kKeep).ok());
}

// Data from 100 to 200 and from 300 to the end at 400.
class HoledFile : public ForwardingFile {
 public:
  using ForwardingFile::ForwardingFile;
  absl::StatusOr<ByteRange> NextData(uint64_t offset) const override {
    if (offset < 200) {
      const uint64_t begin = std::max<uint64_t>(offset, 100);
      return ByteRange{begin, 200 - begin};
    }
    if (offset >= 350) return ByteRange{400, 0};
    const uint64_t begin = std::max<uint64_t>(offset, 300);
    return ByteRange{begin, 350 - begin};
  }
};

TEST(RawDiskTest, HolesAreZeros) {
  MemoryFile memory(std::vector<std::byte>(400));
  HoledFile file(memory);
  const auto disk = DiskOver(file);
  const auto expect = [&](uint64_t offset, uint64_t max_length,
                          GuestExtentKind kind, uint64_t length) {
    const auto extent = disk->ExtentAt(offset, max_length);
    ASSERT_TRUE(extent.ok()) << extent.status();
    EXPECT_EQ(extent->kind, kind) << offset;
    EXPECT_EQ(extent->length_bytes, length) << offset;
  };
  expect(0, 1000, GuestExtentKind::kZeros, 100);
  expect(0, 100, GuestExtentKind::kZeros, 100);
  expect(0, 30, GuestExtentKind::kZeros, 30);
  expect(99, 2, GuestExtentKind::kZeros, 1);
  expect(100, 1000, GuestExtentKind::kData, 100);
  expect(150, 20, GuestExtentKind::kData, 20);
  expect(200, 1000, GuestExtentKind::kZeros, 100);
  expect(349, 1000, GuestExtentKind::kData, 1);
  expect(350, 1000, GuestExtentKind::kZeros, 50);
  expect(350, 10, GuestExtentKind::kZeros, 10);
  expect(400, 10, GuestExtentKind::kZeros, 0);
}

// Data everywhere until a hole is punched, then nowhere.
class CountingFile : public ForwardingFile {
 public:
  using ForwardingFile::ForwardingFile;
  absl::StatusOr<ByteRange> NextData(uint64_t offset) const override {
    ++searches_;
    if (punched_) return ByteRange{400, 0};
    return ByteRange{offset, 400 - offset};
  }
  absl::Status PunchHole(ByteRange range) override {
    punched_ = true;
    return ForwardingFile::PunchHole(range);
  }
  int searches() const { return searches_; }

 private:
  mutable int searches_ = 0;
  bool punched_ = false;
};

TEST(RawDiskTest, TheEndOfDataIsLookedForOnce) {
  MemoryFile memory(std::vector<std::byte>(400));
  CountingFile file(memory);
  const auto disk = DiskOver(file);
  for (uint64_t offset = 0; offset < 400; offset += 10) {
    const auto extent = disk->ExtentAt(offset, 1000);
    ASSERT_TRUE(extent.ok()) << extent.status();
    EXPECT_EQ(extent->kind, GuestExtentKind::kData);
    EXPECT_EQ(extent->length_bytes, 400 - offset);
  }
  EXPECT_EQ(file.searches(), 1);
  ASSERT_TRUE(disk->Discard(0, 400).ok());
  const auto extent = disk->ExtentAt(10, 1000);
  ASSERT_TRUE(extent.ok()) << extent.status();
  EXPECT_EQ(extent->kind, GuestExtentKind::kZeros);
}

TEST(RawDiskTest, ZerosOnlyLoseTheirSpaceWhereAllowed) {
  MemoryFile memory(std::vector<std::byte>(3 << 20, std::byte{7}));
  RecordingFile file(memory);
  const auto disk = DiskOver(file);
  ASSERT_TRUE(disk->WriteZeroes(5, 3 << 19, ZeroMode::kKeep).ok());
  EXPECT_EQ(file.Count(FileOperation::kPunchHole), 0u);
  EXPECT_EQ(file.Count(FileOperation::kPwrite), 2u);
  for (uint64_t i = 0; i < 3 << 20; ++i) {
    const bool zero = i >= 5 && i < 5 + (3 << 19);
    ASSERT_EQ(memory.bytes()[i], zero ? std::byte{0} : std::byte{7}) << i;
  }
  file.Clear();
  ASSERT_TRUE(disk->WriteZeroes(5, 9, ZeroMode::kUnmap).ok());
  ASSERT_TRUE(disk->Discard(7, 9).ok());
  ASSERT_TRUE(disk->Discard(7, 0).ok());
  ASSERT_EQ(file.operations().size(), 2u);
  EXPECT_EQ(file.operations()[0].operation, FileOperation::kPunchHole);
  EXPECT_EQ(file.operations()[0].range, (ByteRange{5, 9}));
  EXPECT_EQ(file.operations()[1].operation, FileOperation::kPunchHole);
  EXPECT_EQ(file.operations()[1].range, (ByteRange{7, 9}));
}

// Every thread has its own pieces, of which it reads what it wrote, while the
// others write theirs and look for holes.
void ShareBetweenThreads(RawDisk& disk) {
  constexpr uint64_t kThreads = 4;
  constexpr uint64_t kPiece = 1000;
  const uint64_t pieces = disk.size_bytes() / kPiece;
  std::atomic<int> failures = 0;
  const auto work = [&](uint64_t number) {
    const std::string text(kPiece, static_cast<char>('a' + number));
    for (uint64_t piece = number; piece < pieces; piece += kThreads) {
      const uint64_t offset = piece * kPiece;
      failures += disk.Write(offset, Bytes(text)).ok() ? 0 : 1;
      failures += DiskText(disk, offset, kPiece) == text ? 0 : 1;
      failures += disk.ExtentAt(0, disk.size_bytes()).ok() ? 0 : 1;
      const bool punch = piece % 3 == 0;
      if (!punch) continue;
      failures += disk.Discard(offset, kPiece).ok() ? 0 : 1;
      failures += disk.Flush().ok() ? 0 : 1;
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  for (uint64_t piece = 0; piece < pieces; ++piece) {
    const char character =
        piece % 3 == 0 ? '\0' : static_cast<char>('a' + piece % kThreads);
    ASSERT_EQ(DiskText(disk, piece * kPiece, kPiece),
              std::string(kPiece, character));
  }
}

TEST(RawDiskTest, ThreadsShareAFileThatCannotBeShared) {
  MemoryFile file(std::vector<std::byte>(64000));
  ASSERT_FALSE(file.concurrent());
  ShareBetweenThreads(*DiskOver(file));
}

TEST(RawDiskTest, ThreadsShareAFileOfTheSystem) {
  std::string folder = testing::TempDir() + "/raw_disk_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/disk.raw";
  std::ofstream(path, std::ios::binary) << std::string(64000, 'z');
  auto file = PosixFile::Open(path, {.writable = true});
  ASSERT_TRUE(file.ok()) << file.status();
  ShareBetweenThreads(*OpenDisk(*std::move(file)));
}

}  // namespace
}  // namespace qcow2
