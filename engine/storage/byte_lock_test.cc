// That our locks and QEMU's mean the same: qemu-io holds an image while we try
// to, and the other way round.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "engine/storage/posix_file.h"
#include "engine/storage/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kAll =
    kLockConsistentRead | kLockWrite | kLockWriteUnchanged | kLockResize;

// Somebody who reads and lets nobody change the image meanwhile.
constexpr LockRequest kCheck = {
    .held = kLockConsistentRead,
    .shared = kLockConsistentRead | kLockWriteUnchanged};
// Somebody who changes it and lets others only look.
constexpr LockRequest kRepair = {
    .held = kLockConsistentRead | kLockWrite | kLockResize,
    .shared = kLockConsistentRead};
// Somebody who looks whatever others do.
constexpr LockRequest kForceShare = {.held = 0, .shared = kAll};

// A program with pipes to its standard input and from its output.
class Child {
 public:
  explicit Child(std::vector<std::string> arguments) {
    int input[2];
    int output[2];
    if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0) abort();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input[0], 0);
    posix_spawn_file_actions_adddup2(&actions, output[1], 1);
    posix_spawn_file_actions_adddup2(&actions, output[1], 2);
    std::vector<char*> pointers;
    pointers.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    const int error = posix_spawnp(&process_, pointers[0], &actions, nullptr,
                                   pointers.data(), environ);
    EXPECT_EQ(error, 0) << pointers[0];
    posix_spawn_file_actions_destroy(&actions);
    close(input[0]);
    close(output[1]);
    input_ = input[1];
    output_ = output[0];
  }

  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  ~Child() { Finish(); }

  // Its output up to and with `text`, or all of it if that never comes.
  std::string ReadUntil(const std::string& text) const {
    std::string seen;
    char character = 0;
    while (seen.find(text) == std::string::npos &&
           read(output_, &character, 1) == 1) {
      seen += character;
    }
    return seen;
  }

  void Write(const std::string& text) const {
    EXPECT_EQ(write(input_, text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }

  // Closes its input, waits for its end and gives its exit status.
  int Finish() {
    if (process_ == 0) return status_;
    close(input_);
    ReadUntil("no program says this");
    close(output_);
    int status = 0;
    waitpid(process_, &status, 0);
    process_ = 0;
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return status_;
  }

 private:
  pid_t process_ = 0;
  int status_ = -1;
  int input_ = -1;
  int output_ = -1;
};

class ByteLockTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = testing::TempDir() + "/byte_lock_XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    path_ = folder + "/image";
    ASSERT_EQ(
        Child({"qemu-img", "create", "-f", "qcow2", path_, "1M"}).Finish(), 0);
  }

  // qemu-io that has the image open, by the time this returns.
  std::unique_ptr<Child> QemuHolding(const std::vector<std::string>& options) {
    std::vector<std::string> arguments = {"qemu-io", "-f", "qcow2"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.push_back(path_);
    auto child = std::make_unique<Child>(arguments);
    child->Write("length\n");
    EXPECT_THAT(child->ReadUntil("1 MiB"), HasSubstr("1 MiB"));
    return child;
  }

  // Whether qemu-io can open the image now; it must not be able to for another
  // reason than a lock.
  bool QemuCanOpen(const std::vector<std::string>& options) {
    std::vector<std::string> arguments = {"qemu-io", "-f", "qcow2"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.insert(arguments.end(), {"-c", "length", path_});
    Child child(arguments);
    const std::string said = child.ReadUntil("no program says this");
    const bool opened = said.find("1 MiB") != std::string::npos;
    if (!opened) {
      EXPECT_THAT(said, HasSubstr("lock"));
    }
    return opened;
  }

  std::unique_ptr<PosixFile> Open(bool writable = false) {
    auto file = PosixFile::Open(path_, {.writable = writable});
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? *std::move(file) : nullptr;
  }

  std::string path_;
};

TEST_F(ByteLockTest, QemuThatWritesRefusesUs) {
  const auto qemu = QemuHolding({});
  const auto file = Open();
  const absl::Status status = file->Lock(kCheck);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
  EXPECT_THAT(std::string(status.message()), HasSubstr("writing"));
  EXPECT_EQ(Open(true)->Lock(kRepair).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(file->Lock(kForceShare).ok());
  EXPECT_EQ(qemu->Finish(), 0);
  EXPECT_TRUE(file->Lock(kCheck).ok());
}

TEST_F(ByteLockTest, QemuThatReadsRefusesOnlyAChange) {
  const auto qemu = QemuHolding({"-r"});
  EXPECT_TRUE(Open()->Lock(kCheck).ok());
  EXPECT_EQ(Open(true)->Lock(kRepair).code(), absl::StatusCode::kUnavailable);
}

TEST_F(ByteLockTest, OurCheckLetsQemuReadOnly) {
  const auto file = Open();
  ASSERT_TRUE(file->Lock(kCheck).ok());
  EXPECT_TRUE(QemuCanOpen({"-r"}));
  EXPECT_FALSE(QemuCanOpen({}));
  file->Unlock();
  EXPECT_TRUE(QemuCanOpen({}));
}

TEST_F(ByteLockTest, OurRepairKeepsQemuOut) {
  const auto file = Open(true);
  ASSERT_TRUE(file->Lock(kRepair).ok());
  EXPECT_FALSE(QemuCanOpen({}));
  EXPECT_FALSE(QemuCanOpen({"-r"}));
  EXPECT_TRUE(QemuCanOpen({"-r", "-U"}));
}

TEST_F(ByteLockTest, ForceShareIsInNobodysWay) {
  const auto file = Open();
  ASSERT_TRUE(file->Lock(kForceShare).ok());
  EXPECT_TRUE(QemuCanOpen({}));
}

TEST_F(ByteLockTest, RefusedRequestLeavesNothingLocked) {
  const auto reader = Open();
  ASSERT_TRUE(reader->Lock(kCheck).ok());
  const auto writer = Open(true);
  ASSERT_EQ(writer->Lock(kRepair).code(), absl::StatusCode::kUnavailable);
  // The writer's claim on writing would refuse this one.
  EXPECT_TRUE(Open()->Lock(kCheck).ok());
}

TEST_F(ByteLockTest, RequestReplacesTheOneBefore) {
  const auto file = Open(true);
  ASSERT_TRUE(file->Lock(kRepair).ok());
  ASSERT_TRUE(file->Lock(kCheck).ok());
  EXPECT_TRUE(Open()->Lock(kCheck).ok());
}

TEST_F(ByteLockTest, ClosingUnlocks) {
  ASSERT_TRUE(Open(true)->Lock(kRepair).ok());
  EXPECT_TRUE(Open(true)->Lock(kRepair).ok());
}

TEST_F(ByteLockTest, ProgramThatLocksAllBytesRefusesUs) {
  const auto other = open(path_.c_str(), O_RDWR | O_CLOEXEC);
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  ASSERT_EQ(fcntl(other, F_OFD_SETLK, &lock), 0);
  EXPECT_EQ(Open()->Lock(kCheck).code(), absl::StatusCode::kUnavailable);
  close(other);
}

}  // namespace
}  // namespace qcow2
