#include "engine/storage/posix_file.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/storage/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

// How the functions below behave.
struct SystemCalls {
  size_t most_bytes = SIZE_MAX;
  int flush_error = 0;
};
SystemCalls system_calls;
// What posix_fadvise was told last.
struct Advice {
  off_t offset = 0;
  off_t length = 0;
  int kind = -1;
};
Advice advice;
// Counted by all threads.
std::atomic<int> flushes = 0;

}  // namespace

// In place of the C library's, in this program; under names of their own, since
// the parameters have others there.
extern "C" {

ssize_t Pread(int descriptor, void* buffer, size_t length,
              off_t offset) asm("pread");
ssize_t Pwrite(int descriptor, const void* buffer, size_t length,
               off_t offset) asm("pwrite");
int Fdatasync(int descriptor) asm("fdatasync");
int Fadvise(int descriptor, off_t offset, off_t length,
            int kind) asm("posix_fadvise");

ssize_t Pread(int descriptor, void* buffer, size_t length, off_t offset) {
  return syscall(SYS_pread64, descriptor, buffer,
                 std::min(length, system_calls.most_bytes), offset);
}

ssize_t Pwrite(int descriptor, const void* buffer, size_t length,
               off_t offset) {
  return syscall(SYS_pwrite64, descriptor, buffer,
                 std::min(length, system_calls.most_bytes), offset);
}

int Fdatasync(int descriptor) {
  ++flushes;
  if (system_calls.flush_error == 0) {
    return static_cast<int>(syscall(SYS_fdatasync, descriptor));
  }
  errno = system_calls.flush_error;
  return -1;
}

int Fadvise(int descriptor, off_t offset, off_t length, int kind) {
  advice = {.offset = offset, .length = length, .kind = kind};
  return syscall(SYS_fadvise64, descriptor, offset, length, kind) == 0 ? 0
                                                                       : errno;
}

}  // extern "C"

namespace qcow2 {
namespace {

using ::testing::HasSubstr;
using std::string_literals::operator""s;  // NOLINT(misc-unused-using-decls)

class PosixFileTest : public testing::Test {
 protected:
  void SetUp() override {
    system_calls = {};
    flushes = 0;
    std::string folder = testing::TempDir() + "/posix_file_XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }

  std::string Path(const std::string& name) const {
    return folder_ + "/" + name;
  }

  std::string Create(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name), std::ios::binary) << text;
    return Path(name);
  }

  static std::unique_ptr<PosixFile> OpenOrDie(const std::string& path,
                                              OpenOptions options = {}) {
    auto file = PosixFile::Open(path, options);
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? *std::move(file) : nullptr;
  }

  // Both ways of opening must refuse `path`, calling it `kind`.
  static void ExpectRefused(const std::string& path, const std::string& kind) {
    for (const bool writable : {false, true}) {
      const auto file = PosixFile::Open(path, {.writable = writable});
      EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(file.status().message()), HasSubstr(kind));
      EXPECT_THAT(std::string(file.status().message()), HasSubstr(path));
    }
  }

  std::string folder_;
};

TEST_F(PosixFileTest, Reads) {
  const auto file = OpenOrDie(Create("image", "abcdef"));
  EXPECT_EQ(file->name(), Path("image"));
  EXPECT_EQ(*file->Size(), 6u);
  EXPECT_EQ(ReadText(*file, 2, 3), "cde");
  EXPECT_EQ(ReadText(*file, 4, 10), "ef");
  EXPECT_EQ(ReadText(*file, 6, 10), "");
}

TEST_F(PosixFileTest, ReadsNothingAtImpossibleOffsets) {
  const auto file = OpenOrDie(Create("image", "abcdef"));
  const uint64_t offset_max = std::numeric_limits<off_t>::max();
  for (const uint64_t offset : {offset_max - 4, offset_max, offset_max + 1,
                                std::numeric_limits<uint64_t>::max()}) {
    EXPECT_EQ(ReadText(*file, offset, 8), "") << offset;
    EXPECT_EQ(*file->NextData(offset), (ByteRange{6, 0}));
  }
}

TEST_F(PosixFileTest, ReadOnlyFileRefusesChanges) {
  const auto file = OpenOrDie(Create("image", "abcdef"));
  EXPECT_FALSE(file->writable());
  EXPECT_EQ(WriteText(*file, 0, "x").code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(file->Truncate(0).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(file->PunchHole({0, 1}).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(file->Allocate({0, 1}).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReadText(*file, 0, 10), "abcdef");
}

TEST_F(PosixFileTest, WritesAndGrows) {
  const auto file = OpenOrDie(Create("image", "abc"), {.writable = true});
  ASSERT_TRUE(WriteText(*file, 1, "XY").ok());
  ASSERT_TRUE(WriteText(*file, 5, "z").ok());
  ASSERT_TRUE(file->Flush().ok());
  EXPECT_EQ(ReadText(*OpenOrDie(Path("image")), 0, 10), "aXY\0\0z"s);
}

TEST_F(PosixFileTest, WritingAtImpossibleOffsetsFails) {
  const auto file = OpenOrDie(Create("image", "abc"), {.writable = true});
  const uint64_t offset_max = std::numeric_limits<off_t>::max();
  for (const uint64_t offset : {offset_max, offset_max + 1}) {
    EXPECT_EQ(WriteText(*file, offset, "x").code(),
              absl::StatusCode::kOutOfRange);
    EXPECT_EQ(file->Truncate(offset + 1).code(), absl::StatusCode::kOutOfRange);
  }
  EXPECT_EQ(*file->Size(), 3u);
}

TEST_F(PosixFileTest, WhatIsReadOrWrittenInPartGoesOn) {
  const auto file = OpenOrDie(Create("image", "abcdef"), {.writable = true});
  system_calls.most_bytes = 2;
  EXPECT_EQ(ReadText(*file, 1, 5), "bcdef");
  EXPECT_EQ(ReadText(*file, 1, 10), "bcdef");
  ASSERT_TRUE(WriteText(*file, 1, "vwxyz").ok());
  EXPECT_EQ(ReadText(*file, 0, 10), "avwxyz");
}

TEST_F(PosixFileTest, FlushAsksTheSystem) {
  const auto file = OpenOrDie(Create("image", "abcdef"), {.writable = true});
  EXPECT_TRUE(file->Flush().ok());
  EXPECT_EQ(flushes, 1);
  system_calls.flush_error = EIO;
  const absl::Status failed = file->Flush();
  EXPECT_THAT(std::string(failed.message()), HasSubstr(Path("image")));
  EXPECT_EQ(flushes, 2);
}

TEST_F(PosixFileTest, TruncateCutsAndGrowsWithZeros) {
  const auto file = OpenOrDie(Create("image", "abcdef"), {.writable = true});
  ASSERT_TRUE(file->Truncate(2).ok());
  ASSERT_TRUE(file->Truncate(4).ok());
  EXPECT_EQ(ReadText(*file, 0, 10), "ab\0\0"s);
}

TEST_F(PosixFileTest, PunchedHoleReadsAsZerosAndKeepsTheLength) {
  const auto file =
      OpenOrDie(Create("image", std::string(100000, 'a')), {.writable = true});
  ASSERT_TRUE(file->PunchHole({10, 70000}).ok());
  EXPECT_EQ(ReadText(*file, 9, 3), "a\0\0"s);
  EXPECT_EQ(ReadText(*file, 70008, 4), "\0\0aa"s);
  ASSERT_TRUE(
      file->PunchHole({99999, std::numeric_limits<uint64_t>::max()}).ok());
  ASSERT_TRUE(file->PunchHole({200000, 1}).ok());
  ASSERT_TRUE(file->PunchHole({0, 0}).ok());
  EXPECT_EQ(ReadText(*file, 99998, 10), "a\0"s);
  EXPECT_EQ(ReadText(*file, 0, 1), "a");
}

TEST_F(PosixFileTest, NextDataCoversAllDataOfASparseFile) {
  const auto file = OpenOrDie(Create("image", ""), {.writable = true});
  ASSERT_TRUE(WriteText(*file, 1 << 20, "data").ok());
  ASSERT_TRUE(file->Truncate(3 << 20).ok());
  const ByteRange data = *file->NextData(0);
  EXPECT_LE(data.offset, 1u << 20);
  EXPECT_GE(data.offset + data.length, (1u << 20) + 4);
  EXPECT_LE(data.offset + data.length, 3u << 20);
  EXPECT_EQ(*file->NextData(3 << 20), (ByteRange{3 << 20, 0}));
}

TEST_F(PosixFileTest, AdviceChangesNothing) {
  const auto file = OpenOrDie(Create("image", "abcdef"));
  for (const Access access :
       {Access::kNormal, Access::kRandom, Access::kSequential,
        Access::kWillNeed, Access::kWillFollow, Access::kRowWillNeed,
        Access::kDontNeed}) {
    file->Advise(access, {0, 0});
    file->Advise(access, {1, std::numeric_limits<uint64_t>::max()});
    file->Advise(access, {std::numeric_limits<uint64_t>::max(), 1});
    EXPECT_EQ(ReadText(*file, 0, 10), "abcdef");
  }
}

// The system's own read-ahead is better than what it is asked for.
TEST_F(PosixFileTest, OnlyWhatFollowsIsNotAskedFor) {
  const auto file = OpenOrDie(Create("image", "abcdef"));
  advice = Advice();
  file->Advise(Access::kWillFollow, {1, 2});
  EXPECT_EQ(advice.kind, -1);
  for (const Access access : {Access::kWillNeed, Access::kRowWillNeed}) {
    advice = Advice();
    file->Advise(access, {1, 2});
    EXPECT_EQ(advice.kind, POSIX_FADV_WILLNEED);
    EXPECT_EQ(advice.offset, 1);
    EXPECT_EQ(advice.length, 2);
  }
}

TEST_F(PosixFileTest, AllocatedBytesLeaveHolesOut) {
  const auto file = OpenOrDie(Create("image", "abc"), {.writable = true});
  ASSERT_TRUE(file->Truncate(uint64_t{1} << 30).ok());
  ASSERT_TRUE(file->Flush().ok());
  EXPECT_LT(*file->AllocatedBytes(), 1u << 20);
}

TEST_F(PosixFileTest, AllocatingReservesGrowsAndKeepsWhatIsThere) {
  const auto file = OpenOrDie(Create("image", "abc"), {.writable = true});
  ASSERT_TRUE(file->Allocate({1, 1 << 20}).ok());
  EXPECT_EQ(*file->Size(), (1u << 20) + 1);
  EXPECT_EQ(ReadText(*file, 0, 5), "abc\0\0"s);
  EXPECT_GE(*file->AllocatedBytes(), 1u << 20);
  ASSERT_TRUE(file->Allocate({0, 5}).ok());
  ASSERT_TRUE(file->Allocate({2 << 20, 0}).ok());
  EXPECT_EQ(*file->Size(), (1u << 20) + 1);
  EXPECT_EQ(file->Allocate({1, std::numeric_limits<off_t>::max()}).code(),
            absl::StatusCode::kOutOfRange);
}

// Neighbouring pieces, each thread writing every other one while all read.
TEST_F(PosixFileTest, ThreadsWriteSideBySide) {
  const auto file = OpenOrDie(Create("image", ""), {.writable = true});
  ASSERT_TRUE(file->concurrent());
  constexpr uint64_t kThreads = 4;
  constexpr uint64_t kPieces = 64;
  std::atomic<int> failures = 0;
  const auto work = [&](uint64_t number) {
    const std::string text(1000, static_cast<char>('a' + number));
    for (uint64_t piece = number; piece < kPieces; piece += kThreads) {
      failures += WriteText(*file, piece * text.size(), text).ok() ? 0 : 1;
      failures += file->Flush().ok() ? 0 : 1;
      failures += ReadText(*file, piece * text.size(), text.size()) != text;
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  std::string expected;
  for (uint64_t piece = 0; piece < kPieces; ++piece) {
    expected += std::string(1000, static_cast<char>('a' + piece % kThreads));
  }
  EXPECT_EQ(ReadText(*file, 0, expected.size() + 1), expected);
}

TEST_F(PosixFileTest, IdentityIsTheFileNotItsName) {
  const auto file = OpenOrDie(Create("image", "abc"));
  ASSERT_EQ(symlink("image", Path("link").c_str()), 0);
  EXPECT_EQ(OpenOrDie(Path("link"))->identity(), file->identity());
  EXPECT_NE(OpenOrDie(Create("other", "abc"))->identity(), file->identity());
}

TEST_F(PosixFileTest, MissingFileIsNotFound) {
  const auto file = PosixFile::Open(Path("missing"));
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("missing'"));
}

TEST_F(PosixFileTest, RefusesADirectory) {
  ExpectRefused(folder_, "a directory");
}

TEST_F(PosixFileTest, RefusesAFifoWithoutWaitingForItsOtherEnd) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  ExpectRefused(Path("fifo"), "a FIFO");
}

TEST_F(PosixFileTest, RefusesACharacterDevice) {
  ExpectRefused("/dev/zero", "a character device");
}

TEST_F(PosixFileTest, RefusesASocket) {
  // A socket's own path may be no longer than 108 bytes.
  ASSERT_EQ(chdir(folder_.c_str()), 0);
  const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_NE(descriptor, -1);
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  ASSERT_EQ(bind(descriptor, reinterpret_cast<struct sockaddr*>(&address),
                 sizeof(address)),
            0);
  ExpectRefused("socket", "a socket");
  close(descriptor);
}

TEST_F(PosixFileTest, DescriptorIsNotLeftToChildren) {
  const auto file = OpenOrDie(Create("image", "abc"));
  // Every open descriptor of the process that names the image has the flag.
  int seen = 0;
  for (int descriptor = 3; descriptor < 64; ++descriptor) {
    struct stat status;
    if (fstat(descriptor, &status) != 0) continue;
    if (status.st_ino != file->identity().inode) continue;
    if (status.st_dev != file->identity().device) continue;
    EXPECT_NE(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0);
    ++seen;
  }
  EXPECT_EQ(seen, 1);
}

}  // namespace
}  // namespace qcow2
