#include "engine/storage/nbd_file.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "engine/storage/nbd_server.h"
#include "engine/storage/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kShort{300};

class NbdFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = testing::TempDir() + "/nbd_file_XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    path_ = folder + "/export";
  }

  // A file whose every eight bytes tell where they are.
  void CreateExport(size_t size) const {
    std::ofstream(path_, std::ios::binary) << Pattern(0, size);
  }
  static std::string Pattern(size_t begin, size_t end) {
    std::string text;
    for (size_t word = begin / 8; word * 8 < end; ++word) {
      std::string digits = std::to_string(word);
      text += std::string(8 - digits.size(), '.') + digits;
    }
    return text.substr(begin % 8, end - begin);
  }
  std::string Contents() const {
    std::ostringstream text;
    text << std::ifstream(path_, std::ios::binary).rdbuf();
    return text.str();
  }

  static std::unique_ptr<NbdFile> OpenOrDie(
      const std::string& address, const NbdOpenOptions& options = {}) {
    auto file = NbdFile::Open(address, options);
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? *std::move(file) : nullptr;
  }
  static absl::Status ReadStatus(const File& file, uint64_t offset,
                                 size_t length) {
    std::vector<std::byte> buffer(length);
    return file.Pread(offset, buffer).status();
  }
  // What is wrong with connecting to a server that says `greeting`.
  static std::string RefusalOf(const std::string& greeting, bool hang_up) {
    const ScriptedServer server(greeting, hang_up);
    const auto file =
        NbdFile::Open(server.address(), {.connection = {.timeout = kShort}});
    EXPECT_FALSE(file.ok());
    EXPECT_THAT(std::string(file.status().message()),
                HasSubstr("'" + server.address() + "'"));
    return file.status().ToString();
  }

  std::string path_;
};

TEST_F(NbdFileTest, ReadsWhatIsThere) {
  CreateExport(100003);
  const NbdServer server({"nbdkit", "file", path_});
  const auto file = OpenOrDie(server.address());
  EXPECT_EQ(file->name(), server.address());
  EXPECT_EQ(file->Size().value(), 100003u);
  EXPECT_EQ(ReadText(*file, 0, 100003), Pattern(0, 100003));
  EXPECT_EQ(ReadText(*file, 77, 1234), Pattern(77, 1311));
  EXPECT_EQ(ReadText(*file, 100000, 100), Pattern(100000, 100003));
  EXPECT_EQ(ReadText(*file, 100003, 1), "");
  EXPECT_EQ(ReadText(*file, uint64_t{1} << 63, 1), "");
  EXPECT_EQ(ReadText(*file, 5, 0), "");
}

TEST_F(NbdFileTest, ReadsOverTcp) {
  CreateExport(4096);
  for (const char* const program : {"nbdkit", "qemu-nbd"}) {
    std::vector<std::string> words = {program};
    if (words[0] == "nbdkit") words.emplace_back("file");
    words.push_back(path_);
    const NbdServer server(words, NbdServer::Transport::kTcp);
    const auto file = OpenOrDie(server.address());
    EXPECT_EQ(ReadText(*file, 8, 100), Pattern(8, 108));
  }
}

TEST_F(NbdFileTest, ManyThreadsReadAtOnce) {
  CreateExport(1 << 20);
  const NbdServer server({"nbdkit", "file", path_});
  const auto file = OpenOrDie(server.address());
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 100; ++round) {
        const size_t begin = (i * 7919 + round * 104729) % 1000000;
        if (round % 2 == 0) file->Advise(Access::kWillNeed, {begin, 3000});
        if (ReadText(*file, begin, 3000) == Pattern(begin, begin + 3000)) {
          ++right;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 800);
}

TEST_F(NbdFileTest, ManyRequestsAreUnderWayAtOnce) {
  CreateExport(1 << 20);
  // Each read takes 200 ms.
  const NbdServer server(
      {"nbdkit", "--filter=delay", "file", path_, "rdelay=200ms"});
  const auto file = OpenOrDie(server.address());
  const Clock::time_point begin = Clock::now();
  for (uint64_t i = 0; i < 10; ++i) {
    file->Advise(i % 2 == 0 ? Access::kWillNeed : Access::kWillFollow,
                 {i * 100000, 4096});
  }
  for (uint64_t i = 0; i < 10; ++i) {
    EXPECT_EQ(ReadText(*file, i * 100000, 4096),
              Pattern(i * 100000, i * 100000 + 4096));
  }
  // One after the other they would take 2 s.
  EXPECT_LT(Clock::now() - begin, std::chrono::milliseconds(1500));
}

TEST_F(NbdFileTest, BytesAskedForAheadMayBeLeft) {
  CreateExport(32 << 20);
  const NbdServer server({"nbdkit", "file", path_});
  const auto file = OpenOrDie(server.address());
  for (uint64_t i = 0; i < 31; ++i) {
    file->Advise(Access::kWillNeed, {i << 20, 1 << 20});
  }
  file->Advise(Access::kWillNeed, {uint64_t{32} << 20, 1});
  file->Advise(Access::kWillNeed, {0, uint64_t{1} << 40});
  file->Advise(Access::kWillNeed, {~uint64_t{0}, ~uint64_t{0}});
  file->Advise(Access::kWillNeed, {0, 0});
  for (uint64_t i = 0; i < 31; ++i) {
    EXPECT_EQ(ReadText(*file, i << 20, 1000),
              Pattern(i << 20, (i << 20) + 1000));
  }
}

TEST_F(NbdFileTest, WhatIsWrittenIsNotReadFromWhatWasAskedForAhead) {
  CreateExport(4096);
  const NbdServer server({"nbdkit", "file", path_});
  const auto file = OpenOrDie(server.address(), {.writable = true});
  file->Advise(Access::kWillNeed, {0, 4096});
  EXPECT_TRUE(WriteText(*file, 1000, "written").ok());
  EXPECT_EQ(ReadText(*file, 1000, 7), "written");
}

TEST_F(NbdFileTest, Writes) {
  CreateExport(3 << 20);
  for (const char* const program : {"nbdkit", "qemu-nbd"}) {
    std::vector<std::string> words = {program};
    if (words[0] == "nbdkit") words.emplace_back("file");
    words.push_back(path_);
    const NbdServer server(words);
    const auto file = OpenOrDie(server.address(), {.writable = true});
    const std::string text = "by " + words[0];
    EXPECT_TRUE(WriteText(*file, 100, text).ok());
    EXPECT_TRUE(file->PunchHole({5000, 2 << 20}).ok());
    EXPECT_TRUE(file->Flush().ok());
    EXPECT_TRUE(file->Truncate(3 << 20).ok());
    std::string expected = Pattern(0, 3 << 20);
    expected.replace(100, text.size(), text);
    expected.replace(5000, 2 << 20, 2 << 20, '\0');
    EXPECT_EQ(ReadText(*file, 0, 3 << 20) == expected, true);
    EXPECT_EQ(Contents() == expected, true);
  }
}

TEST_F(NbdFileTest, WritesZerosWhereTheServerHasNoCommandForThem) {
  CreateExport(300000);
  const NbdServer server(
      {"nbdkit", "--filter=nozero", "file", path_, "zeromode=none"});
  const auto file = OpenOrDie(server.address(), {.writable = true});
  EXPECT_TRUE(file->PunchHole({1000, 200000}).ok());
  EXPECT_TRUE(file->PunchHole({299999, 200000}).ok());
  EXPECT_TRUE(file->PunchHole({300001, 200000}).ok());
  std::string expected = Pattern(0, 299999) + '\0';
  expected.replace(1000, 200000, 200000, '\0');
  EXPECT_EQ(Contents() == expected, true);
}

TEST_F(NbdFileTest, CannotChangeItsLength) {
  CreateExport(4096);
  const NbdServer server({"nbdkit", "file", path_});
  const auto file = OpenOrDie(server.address(), {.writable = true});
  EXPECT_TRUE(absl::IsResourceExhausted(WriteText(*file, 4090, "over it")));
  EXPECT_TRUE(absl::IsResourceExhausted(WriteText(*file, ~uint64_t{0}, "!")));
  EXPECT_TRUE(absl::IsFailedPrecondition(file->Truncate(4095)));
  EXPECT_TRUE(absl::IsFailedPrecondition(file->Truncate(4097)));
  EXPECT_TRUE(absl::IsFailedPrecondition(file->Allocate({4096, 1})));
  EXPECT_TRUE(file->Allocate({4000, 96}).ok());
  EXPECT_EQ(Contents(), Pattern(0, 4096));
}

TEST_F(NbdFileTest, WritesNothingUnlessOpenedForIt) {
  CreateExport(4096);
  const NbdServer server({"nbdkit", "file", path_});
  const auto file = OpenOrDie(server.address());
  EXPECT_TRUE(absl::IsFailedPrecondition(WriteText(*file, 0, "x")));
  EXPECT_TRUE(absl::IsFailedPrecondition(file->PunchHole({0, 4096})));
  EXPECT_TRUE(absl::IsFailedPrecondition(file->Truncate(4096)));
  EXPECT_TRUE(absl::IsFailedPrecondition(file->Flush()));
  EXPECT_EQ(Contents(), Pattern(0, 4096));
}

TEST_F(NbdFileTest, IsNotWritableWithoutTheServersLeave) {
  CreateExport(4096);
  const NbdServer server({"nbdkit", "-r", "file", path_});
  const auto file = NbdFile::Open(server.address(), {.writable = true});
  EXPECT_TRUE(absl::IsFailedPrecondition(file.status()));
  EXPECT_THAT(file.status().ToString(), HasSubstr("for reading only"));
  EXPECT_TRUE(NbdFile::Open(server.address()).ok());
}

TEST_F(NbdFileTest, IsNotWritableWithoutFlush) {
  const NbdServer server({"nbdkit", "eval", "get_size=echo 4096",
                          "pread=dd if=/dev/zero count=$3 iflag=count_bytes",
                          "pwrite=cat >/dev/null", "can_write=exit 0",
                          "can_flush=exit 3"});
  const auto file = NbdFile::Open(server.address(), {.writable = true});
  EXPECT_TRUE(absl::IsFailedPrecondition(file.status()));
  EXPECT_THAT(file.status().ToString(), HasSubstr("cannot flush"));
}

TEST_F(NbdFileTest, KeepsToTheServersBlocks) {
  CreateExport(1 << 20);
  const NbdServer server({"nbdkit", "--filter=blocksize-policy", "file", path_,
                          "blocksize-minimum=4096", "blocksize-preferred=64K",
                          "blocksize-maximum=64K",
                          "blocksize-error-policy=error"});
  const auto file = OpenOrDie(server.address(), {.writable = true});
  EXPECT_EQ(ReadText(*file, 4095, 3), Pattern(4095, 4098));
  EXPECT_EQ(ReadText(*file, 1, 1 << 20), Pattern(1, 1 << 20));
  file->Advise(Access::kWillNeed, {5000, 100});
  EXPECT_EQ(ReadText(*file, 5000, 100), Pattern(5000, 5100));
  EXPECT_TRUE(WriteText(*file, 4095, "abc").ok());
  EXPECT_TRUE(WriteText(*file, 8192, std::string(200000, 'x')).ok());
  EXPECT_TRUE(file->PunchHole({300000, 10000}).ok());
  EXPECT_TRUE(file->NextData(77).ok());
  std::string expected = Pattern(0, 1 << 20);
  expected.replace(4095, 3, "abc").replace(8192, 200000, 200000, 'x');
  expected.replace(300000, 10000, 10000, '\0');
  EXPECT_EQ(Contents() == expected, true);
}

TEST_F(NbdFileTest, RefusesAnEndThatCannotBeRead) {
  CreateExport(5000);
  const NbdServer server({"nbdkit", "--filter=blocksize-policy", "file", path_,
                          "blocksize-minimum=4096",
                          "blocksize-error-policy=error"});
  const auto file = NbdFile::Open(server.address());
  EXPECT_TRUE(absl::IsInvalidArgument(file.status()));
  EXPECT_THAT(file.status().ToString(),
              HasSubstr("has 5000 bytes, which is no multiple of the 4096"));
}

TEST_F(NbdFileTest, TellsWhereThereIsData) {
  CreateExport(100000);
  ASSERT_EQ(truncate(path_.c_str(), off_t{1} << 40), 0);
  std::fstream(path_, std::ios::in | std::ios::out | std::ios::binary)
          .seekp(std::streamoff{1} << 39)
      << "data";
  for (const char* const program : {"nbdkit", "qemu-nbd"}) {
    std::vector<std::string> words = {program};
    if (words[0] == "nbdkit") words.emplace_back("file");
    words.push_back(path_);
    const NbdServer server(words);
    const auto file = OpenOrDie(server.address());
    const ByteRange first = file->NextData(0).value();
    EXPECT_EQ(first.offset, 0u);
    EXPECT_GE(first.length, 100000u);
    EXPECT_LT(first.length, 1u << 20);
    const ByteRange second = file->NextData(first.length).value();
    EXPECT_EQ(second.offset, uint64_t{1} << 39);
    EXPECT_LT(second.length, 1u << 20);
    EXPECT_EQ(file->NextData((uint64_t{1} << 39) + 100).value(),
              (ByteRange{(uint64_t{1} << 39) + 100, second.length - 100}));
    const ByteRange none{uint64_t{1} << 40, 0};
    EXPECT_EQ(file->NextData(second.offset + second.length).value(), none);
    EXPECT_EQ(file->NextData(uint64_t{1} << 40).value(), none);
    EXPECT_EQ(file->NextData(~uint64_t{0}).value(), none);
  }
}

TEST_F(NbdFileTest, TakesAllForDataWhereTheServerCannotTell) {
  CreateExport(100000);
  const NbdServer server({"nbdkit", "--no-sr", "file", path_});
  const auto file = OpenOrDie(server.address());
  EXPECT_EQ(file->NextData(12345).value(), (ByteRange{12345, 100000 - 12345}));
}

// 2^60 bytes of zeros, told of in pieces of 2 MiB.
const std::vector<std::string> kTellsInCrumbs = {
    "nbdkit",
    "eval",
    "get_size=echo 1152921504606846976",
    "pread=dd if=/dev/zero count=$3 iflag=count_bytes",
    "can_extents=exit 0",
    "extents=echo $4 2M hole,zero"};

TEST_F(NbdFileTest, GivesUpAskingAServerThatTellsInCrumbs) {
  const NbdServer server(kTellsInCrumbs);
  const auto file = OpenOrDie(server.address(), {.hole_answers = 64});
  const ByteRange data = file->NextData(0).value();
  EXPECT_EQ(data.offset, uint64_t{65} * (2 << 20));
  EXPECT_EQ(data.offset + data.length, uint64_t{1} << 60);
  // However often it is asked.
  EXPECT_EQ(file->NextData(uint64_t{1} << 59).value().offset,
            (uint64_t{1} << 59) + (2 << 20));
}

TEST_F(NbdFileTest, CancellingEndsTheQuestionsAboutAHole) {
  const NbdServer server(kTellsInCrumbs);
  std::atomic<bool> cancel = false;
  const auto file =
      OpenOrDie(server.address(), {.connection = {.cancel = &cancel}});
  std::thread user([&] {
    usleep(100000);
    cancel = true;
  });
  const ByteRange data = file->NextData(0).value();
  EXPECT_EQ(data.offset + data.length, uint64_t{1} << 60);
  EXPECT_LT(data.offset, uint64_t{65536} * (2 << 20));
  user.join();
}

TEST_F(NbdFileTest, TellsWhatTheServerRefuses) {
  CreateExport(100000);
  const NbdServer server({"nbdkit", "--filter=error", "file", path_,
                          "error-pread=EIO", "error-pread-rate=100%"});
  const auto file = OpenOrDie(server.address());
  EXPECT_EQ(std::string(ReadStatus(*file, 512, 1024).message()),
            "cannot read 1024 bytes at offset 512 of '" + server.address() +
                "': Input/output error");
}

TEST_F(NbdFileTest, TellsThatThereIsNoServer) {
  const auto file = NbdFile::Open("nbd+unix:///disk?socket=/nowhere/socket");
  EXPECT_TRUE(absl::IsNotFound(file.status())) << file.status();
  EXPECT_THAT(file.status().ToString(),
              HasSubstr("'nbd+unix:///disk?socket=/nowhere/socket'"));
}

TEST_F(NbdFileTest, TellsThatThereIsNoSuchExport) {
  CreateExport(4096);
  const NbdServer server({"qemu-nbd", "-x", "disk", path_});
  std::string address = server.address();
  EXPECT_FALSE(NbdFile::Open(address).ok());
  address.replace(address.find("/?"), 2, "/disk?");
  EXPECT_TRUE(NbdFile::Open(address).ok());
}

TEST_F(NbdFileTest, NeverSaysWhoTheUserIs) {
  for (const char* const address :
       {"nbd://alice:sesame@127.0.0.1:1/disk", "nbd://alice:sesame@[::1/disk",
        "nbds://alice:sesame@127.0.0.1:1/?tls-psk-file=/nowhere",
        "nbd+unix://alice:sesame@/disk", "nbd://alice:sesame@127.0.0.1:x/ /"}) {
    const auto file = NbdFile::Open(address);
    ASSERT_FALSE(file.ok());
    EXPECT_THAT(file.status().ToString(), Not(HasSubstr("alice")));
    EXPECT_THAT(file.status().ToString(), Not(HasSubstr("sesame")));
  }
}

TEST_F(NbdFileTest, ReadsNothingMoreWhenTheServerIsGone) {
  CreateExport(100000);
  NbdServer server({"nbdkit", "file", path_});
  const auto file = OpenOrDie(server.address());
  ASSERT_TRUE(ReadStatus(*file, 0, 10).ok());
  server.Kill();
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = ReadStatus(*file, 512, 1024);
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("cannot read 1024 bytes at offset 512 of '" +
                          server.address() + "'"));
  }
  EXPECT_FALSE(file->NextData(0).ok());
}

TEST_F(NbdFileTest, WaitsNoLongerThanItIsTold) {
  CreateExport(100000);
  NbdServer server({"nbdkit", "file", path_});
  const auto file = OpenOrDie(
      server.address(), {.writable = true, .connection = {.timeout = kShort}});
  ASSERT_TRUE(ReadStatus(*file, 0, 10).ok());
  server.Stop();
  const absl::Status status = ReadStatus(*file, 512, 1024);
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("the server has not answered for 300 ms"));
  // No second wait.
  const Clock::time_point begin = Clock::now();
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(absl::IsDeadlineExceeded(ReadStatus(*file, 0, 10)));
    EXPECT_TRUE(absl::IsDeadlineExceeded(WriteText(*file, 0, "x")));
    EXPECT_TRUE(absl::IsDeadlineExceeded(file->Flush()));
  }
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(10));
}

TEST_F(NbdFileTest, AServerThatIsOnlySlowIsWaitedFor) {
  CreateExport(100000);
  // Each of the many answers comes in time, the last one does not come soon.
  const NbdServer server({"nbdkit", "--filter=delay", "--filter=noparallel",
                          "file", path_, "rdelay=100ms",
                          "serialize=all-requests"});
  const auto file = OpenOrDie(
      server.address(), {.connection = {.timeout = std::chrono::seconds(2)}});
  for (uint64_t i = 0; i < 30; ++i) {
    file->Advise(Access::kWillNeed, {i * 1000, 1000});
  }
  EXPECT_EQ(ReadText(*file, 29000, 1000), Pattern(29000, 30000));
}

TEST_F(NbdFileTest, CancellingEndsAWait) {
  CreateExport(100000);
  NbdServer server({"nbdkit", "file", path_});
  std::atomic<bool> cancel = false;
  const auto file =
      OpenOrDie(server.address(), {.connection = {.cancel = &cancel}});
  server.Stop();
  std::thread user([&] {
    usleep(100000);
    cancel = true;
  });
  const Clock::time_point begin = Clock::now();
  EXPECT_TRUE(absl::IsCancelled(ReadStatus(*file, 0, 10)));
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(20));
  user.join();
}

TEST_F(NbdFileTest, AServerThatAnswersMayDoSoAfterCancelling) {
  CreateExport(100000);
  const NbdServer server({"nbdkit", "file", path_});
  const std::atomic<bool> cancel = true;
  const auto file =
      OpenOrDie(server.address(), {.connection = {.cancel = &cancel}});
  EXPECT_EQ(ReadText(*file, 0, 1000), Pattern(0, 1000));
}

TEST_F(NbdFileTest, CancellingEndsConnecting) {
  const ScriptedServer server("", false);
  const std::atomic<bool> cancel = true;
  const auto file =
      NbdFile::Open(server.address(), {.connection = {.cancel = &cancel}});
  EXPECT_TRUE(absl::IsCancelled(file.status())) << file.status();
}

TEST_F(NbdFileTest, RefusesServersThatSpeakOtherwise) {
  EXPECT_THAT(RefusalOf("", false), HasSubstr("longer than 300 ms"));
  RefusalOf("", true);
  RefusalOf("NBDMAGIC", true);
  RefusalOf("HTTP/1.1 400 Bad Request\r\n\r\n", true);
  RefusalOf(std::string(100000, 'x'), false);
  RefusalOf(OldGreeting(~uint64_t{0}), false);
  RefusalOf(OldGreeting(uint64_t{1} << 63), false);
  RefusalOf(OldGreeting(1 << 20).substr(0, 100), true);
}

TEST_F(NbdFileTest, AServerThatGoesOnTalkingIsNotConnectedTo) {
  const ScriptedServer server(NewGreeting(), false, OneMoreFact());
  const auto file =
      NbdFile::Open(server.address(), {.connection = {.timeout = kShort}});
  EXPECT_TRUE(absl::IsDeadlineExceeded(file.status())) << file.status();
  // Nobody goes on listening to it.
  for (int i = 0; i < 1000 && !server.was_left(); ++i) usleep(10000);
  EXPECT_TRUE(server.was_left());
}

TEST_F(NbdFileTest, CancellingEndsConnectingToAServerThatGoesOnTalking) {
  const ScriptedServer server(NewGreeting(), false, OneMoreFact());
  const std::atomic<bool> cancel = true;
  const auto file =
      NbdFile::Open(server.address(), {.connection = {.cancel = &cancel}});
  EXPECT_TRUE(absl::IsCancelled(file.status())) << file.status();
}

TEST_F(NbdFileTest, AnswersThatAreNoneEndTheConnection) {
  const ScriptedServer server(OldGreeting(1 << 20) + std::string(4096, 'x'),
                              false);
  const auto file =
      OpenOrDie(server.address(), {.connection = {.timeout = kShort}});
  EXPECT_EQ(file->Size().value(), 1u << 20);
  EXPECT_FALSE(ReadStatus(*file, 0, 512).ok());
}

TEST_F(NbdFileTest, HasNoLocks) {
  CreateExport(4096);
  const NbdServer server({"nbdkit", "file", path_});
  const auto one = OpenOrDie(server.address(), {.writable = true});
  const auto other = OpenOrDie(server.address(), {.writable = true});
  EXPECT_TRUE(one->Lock(kWriterLocks).ok());
  EXPECT_TRUE(other->Lock(kWriterLocks).ok());
}

}  // namespace
}  // namespace qcow2
