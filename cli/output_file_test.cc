#include "cli/output_file.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "gtest/gtest.h"

namespace {

// How the functions below behave.
struct SystemCalls {
  size_t most_bytes = SIZE_MAX;
  int flush_error = 0;
  off_t flushed_bytes = -1;
  bool foreign_links = false;
};
SystemCalls system_calls;

}  // namespace

// In place of the C library's, in this program; under names of their own, since
// the parameters have others there.
extern "C" {

ssize_t Write(int descriptor, const void* buffer, size_t length) asm("write");
int Lstat(const char* path, struct stat* status) noexcept asm("lstat");
int Fsync(int descriptor) asm("fsync");

ssize_t Write(int descriptor, const void* buffer, size_t length) {
  return syscall(SYS_write, descriptor, buffer,
                 std::min(length, system_calls.most_bytes));
}

int Lstat(const char* path, struct stat* status) noexcept {
  const int result = fstatat(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
  if (system_calls.foreign_links) status->st_uid = geteuid() + 1;
  return result;
}

int Fsync(int descriptor) {
  struct stat status;
  if (fstat(descriptor, &status) == 0) {
    system_calls.flushed_bytes = status.st_size;
  }
  if (system_calls.flush_error == 0) {
    return static_cast<int>(syscall(SYS_fsync, descriptor));
  }
  errno = system_calls.flush_error;
  return -1;
}

}  // extern "C"

namespace qcow2::cli {
namespace {

namespace fs = std::filesystem;

class OutputFileTest : public testing::Test {
 protected:
  void SetUp() override {
    system_calls = {};
    std::string name = testing::TempDir() + "/output.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string Content(const fs::path& path) {
    std::ifstream stream(path);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  [[nodiscard]] size_t FilesInFolder() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_),
                                             fs::directory_iterator()));
  }

  fs::path folder_;
};

TEST_F(OutputFileTest, AppearsWithTheCommit) {
  const fs::path path = folder_ / "report";
  absl::StatusOr<OutputFile> file = OutputFile::Create(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(file->Append("one ").ok());
  ASSERT_TRUE(file->Append("two").ok());
  EXPECT_FALSE(fs::exists(path));
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_EQ(Content(path), "one two");
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(OutputFileTest, WhatIsWrittenInPartGoesOn) {
  absl::StatusOr<OutputFile> file = OutputFile::Create(folder_ / "report");
  ASSERT_TRUE(file.ok()) << file.status();
  system_calls.most_bytes = 2;
  EXPECT_TRUE(file->Append("a text").ok());
  EXPECT_TRUE(file->Commit().ok());
  EXPECT_EQ(Content(folder_ / "report"), "a text");
}

// A report that a crash left empty must not have taken the place of an old one.
TEST_F(OutputFileTest, IsStoredBeforeItAppears) {
  const fs::path path = folder_ / "report";
  std::ofstream(path) << "old";
  {
    absl::StatusOr<OutputFile> file = OutputFile::Create(path);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE(file->Append("new one").ok());
    system_calls.flush_error = EIO;
    EXPECT_FALSE(file->Commit().ok());
    EXPECT_EQ(system_calls.flushed_bytes, 7);
  }
  EXPECT_EQ(Content(path), "old");
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(OutputFileTest, AbandonedItLeavesEverythingAsItWas) {
  const fs::path path = folder_ / "report";
  std::ofstream(path) << "old";
  {
    absl::StatusOr<OutputFile> file = OutputFile::Create(path);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE(file->Append("new").ok());
  }
  EXPECT_EQ(Content(path), "old");
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(OutputFileTest, KeepsModeAndSymbolicLink) {
  const fs::path target = folder_ / "target";
  const fs::path link = folder_ / "link";
  std::ofstream(target) << "old";
  fs::permissions(target, fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("target", link);
  absl::StatusOr<OutputFile> file = OutputFile::Create(link);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(file->Append("new").ok());
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(Content(target), "new");
  EXPECT_EQ(fs::status(target).permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
}

// Somebody who may write to the folder must not choose what is replaced.
TEST_F(OutputFileTest, ALinkOfAnotherUserIsNotFollowed) {
  const fs::path target = folder_ / "target";
  const fs::path link = folder_ / "link";
  std::ofstream(target) << "old";
  fs::create_symlink("target", link);
  constexpr uid_t kNobody = 65534;
  if (lchown(link.c_str(), kNobody, kNobody) != 0) {
    GTEST_SKIP() << "only root can give a link away";
  }
  const absl::Status refused = OutputFile::Create(link).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied) << refused;
  EXPECT_EQ(Content(target), "old");
  EXPECT_EQ(FilesInFolder(), 2u);
}

// The same, as whoever runs the test would see it.
TEST_F(OutputFileTest, ALinkThatIsNotOursIsNotFollowed) {
  const fs::path link = folder_ / "link";
  std::ofstream(folder_ / "target") << "old";
  fs::create_symlink("target", link);
  system_calls.foreign_links = true;
  const absl::Status refused = OutputFile::Create(link).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied) << refused;
  EXPECT_EQ(Content(folder_ / "target"), "old");
}

TEST_F(OutputFileTest, AnImageIsNeverOverwritten) {
  const fs::path path = folder_ / "disk.qcow2";
  std::ofstream(path) << "QFI\xfb rest";
  const absl::StatusOr<OutputFile> file = OutputFile::Create(path);
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Content(path), "QFI\xfb rest");
}

// Without root's right to read whatever there is.
class AsPlainUser {
 public:
  AsPlainUser() {
    EXPECT_EQ(syscall(SYS_capget, &header_, saved_), 0);
    __user_cap_data_struct fewer[] = {saved_[0], saved_[1]};
    fewer[0].effective &= ~(1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH);
    EXPECT_EQ(syscall(SYS_capset, &header_, fewer), 0);
  }
  ~AsPlainUser() { EXPECT_EQ(syscall(SYS_capset, &header_, saved_), 0); }
  AsPlainUser(const AsPlainUser&) = delete;
  AsPlainUser& operator=(const AsPlainUser&) = delete;

 private:
  __user_cap_header_struct header_ = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct saved_[2] = {};
};

// It may be an image: only reading it could tell.
TEST_F(OutputFileTest, WhatCannotBeReadIsNotOverwritten) {
  const fs::path path = folder_ / "disk.qcow2";
  std::ofstream(path) << "QFI\xfb rest";
  ASSERT_EQ(chmod(path.c_str(), 0200), 0);
  absl::Status refused;
  {
    const AsPlainUser plain;
    refused = OutputFile::Create(path).status();
  }
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied) << refused;
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  EXPECT_EQ(Content(path), "QFI\xfb rest");
}

// Renaming a file over a device node would destroy the node.
TEST_F(OutputFileTest, ADeviceIsWrittenDirectly) {
  absl::StatusOr<OutputFile> file = OutputFile::Create("/dev/null");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->Append("text").ok());
  EXPECT_TRUE(file->Commit().ok());
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(OutputFileTest, ErrorsNameTheFile) {
  const fs::path path = folder_ / "missing" / "report";
  const absl::Status missing = OutputFile::Create(path).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(std::string(missing.message()).find(path.string()),
            std::string::npos);
  EXPECT_FALSE(OutputFile::Create(folder_).ok());
  absl::StatusOr<OutputFile> full = OutputFile::Create("/dev/full");
  ASSERT_TRUE(full.ok()) << full.status();
  EXPECT_EQ(full->Append("text").code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace qcow2::cli
