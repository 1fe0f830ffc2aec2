#include "engine/storage/named_file.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

bool all_are_devices = false;

}  // namespace

// In place of the C library's, in this program; under names of their own, since
// the parameters have others there.
extern "C" int Fstat(int descriptor, struct stat* status) noexcept asm("fstat");
int Fstat(int descriptor, struct stat* status) noexcept {
  const int result = fstatat(descriptor, "", status, AT_EMPTY_PATH);
  if (all_are_devices) status->st_mode = S_IFBLK | 0600;
  return result;
}

namespace qcow2 {
namespace {

using testing::HasSubstr;

constexpr NamedFilePolicy kFollow = NamedFilePolicy::kFollow;
constexpr NamedFilePolicy kSameDirectory = NamedFilePolicy::kSameDirectory;
constexpr NamedFilePolicy kNone = NamedFilePolicy::kNone;

// Folders "own", with the image, and "other".
class NamedFileTest : public testing::Test {
 protected:
  NamedFileTest() {
    char name[] = "/tmp/named-XXXXXX";
    folder_ = mkdtemp(name);
    for (const char* sub : {"own", "other", "own/sub"}) {
      std::filesystem::create_directory(folder_ / sub);
    }
    for (const char* file :
         {"own/image", "own/base", "other/base", "own/sub/base"}) {
      std::ofstream(folder_ / file) << file;
    }
  }
  ~NamedFileTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ / name; }
  void Link(const std::string& target, const std::string& name) const {
    std::filesystem::create_symlink(target, folder_ / name);
  }
  absl::Status Status(const std::string& path, NamedFilePolicy policy,
                      const std::string& image = "own/image") const {
    return OpenNamedFile(Path(image), path, policy).status();
  }
  void ExpectRefused(const std::string& path, NamedFilePolicy policy,
                     const std::string& image = "own/image") const {
    const absl::Status status = Status(path, policy, image);
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
    EXPECT_TRUE(IsPolicyRefusal(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("'" + path + "'"));
  }

  std::filesystem::path folder_;
};

TEST_F(NamedFileTest, PoliciesHaveNames) {
  for (const NamedFilePolicy policy :
       {NamedFilePolicy::kAny, kFollow, kSameDirectory, kNone}) {
    EXPECT_EQ(PolicyFromName(NameOfPolicy(policy)), policy);
  }
  EXPECT_EQ(PolicyFromName("always"), std::nullopt);
}

TEST_F(NamedFileTest, FollowOpensFilesAnywhere) {
  Link("../other/base", "own/link");
  for (const char* name : {"own/base", "other/base", "own/link"}) {
    const auto file = OpenNamedFile(Path("own/image"), Path(name), kFollow);
    ASSERT_EQ(file.status(), absl::OkStatus()) << name;
    EXPECT_EQ((*file)->name(), Path(name));
  }
}

TEST_F(NamedFileTest, NoneOpensNothing) {
  ExpectRefused(Path("own/base"), kNone);
  ExpectRefused(Path("not-there"), kNone);
}

TEST_F(NamedFileTest, SameDirectoryIsWhereTheFileIsInTheEnd) {
  Link("base", "own/near");
  Link(Path("own/near"), "own/far-and-near");
  Link(Path("own"), "other/way");
  for (const std::string name :
       {"own/base", "own/near", "own/far-and-near", "other/../own/base",
        "other/way/base", "own/sub/../base"}) {
    EXPECT_EQ(Status(Path(name), kSameDirectory), absl::OkStatus()) << name;
  }
  Link("../other/base", "own/out");
  Link("out", "own/out2");
  Link("../other", "own/folder");
  for (const std::string name :
       {"other/base", "own/../other/base", "own/sub/base", "own/out",
        "own/out2", "own/folder/base"}) {
    ExpectRefused(Path(name), kSameDirectory);
  }
  const absl::Status out = Status(Path("own/out"), kSameDirectory);
  EXPECT_THAT(std::string(out.message()), HasSubstr(Path("other/base")));
}

// The folder counts in which the image itself is.
TEST_F(NamedFileTest, AnImageBehindALinkIsWhereTheLinkLeads) {
  Link("../own/image", "other/image");
  EXPECT_EQ(Status(Path("own/base"), kSameDirectory, "other/image"),
            absl::OkStatus());
  ExpectRefused(Path("other/base"), kSameDirectory, "other/image");
}

TEST_F(NamedFileTest, NamesWithoutAFolderCountFromTheWorkingOne) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder_ / "own");
  EXPECT_EQ(OpenNamedFile("image", "base", kSameDirectory).status(),
            absl::OkStatus());
  EXPECT_TRUE(IsPolicyRefusal(
      OpenNamedFile("image", "../other/base", kSameDirectory).status()));
  std::filesystem::current_path(before);
}

TEST_F(NamedFileTest, WhatIsNotThereIsNotARefusal) {
  Link("nowhere", "own/dangling");
  Link("loop", "own/loop");
  for (const NamedFilePolicy policy : {kFollow, kSameDirectory}) {
    for (const char* name : {"own/nothing", "own/dangling"}) {
      const absl::Status status = Status(Path(name), policy);
      EXPECT_TRUE(absl::IsNotFound(status)) << status;
      EXPECT_FALSE(IsPolicyRefusal(status));
    }
    EXPECT_FALSE(Status(Path("own/loop"), policy).ok());
  }
}

// None of them is waited for, nor read.
TEST_F(NamedFileTest, OnlyFilesAreOpened) {
  ASSERT_EQ(mkfifo(Path("own/fifo").c_str(), 0600), 0);
  Link("fifo", "own/to-fifo");
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string socket_path = Path("own/socket");
  ASSERT_LT(socket_path.size(), sizeof(address.sun_path));
  std::copy(socket_path.begin(), socket_path.end(), address.sun_path);
  ASSERT_EQ(
      bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)),
      0);
  for (const NamedFilePolicy policy : {kFollow, kSameDirectory}) {
    for (const char* name :
         {"own/fifo", "own/to-fifo", "own/socket", "own/sub"}) {
      const absl::Status status = Status(Path(name), policy);
      EXPECT_TRUE(absl::IsInvalidArgument(status)) << name << status;
    }
  }
  close(listener);
  EXPECT_TRUE(absl::IsInvalidArgument(Status("/dev/zero", kFollow)));
  ExpectRefused("/dev/zero", kSameDirectory);
}

// Where the test may make one.
TEST_F(NamedFileTest, BlockDevicesAreNotFollowed) {
  const std::string device = Path("own/device");
  if (mknod(device.c_str(), S_IFBLK | 0600, makedev(7, 255)) != 0) {
    GTEST_SKIP() << "no device can be made here";
  }
  ExpectRefused(device, kFollow);
  ExpectRefused(device, kSameDirectory);
  Link("device", "own/to-device");
  ExpectRefused(Path("own/to-device"), kFollow);
}

// The same, where no test can make one.
TEST_F(NamedFileTest, WhatTheSystemCallsABlockDeviceIsNotFollowed) {
  EXPECT_EQ(Status(Path("own/base"), kFollow), absl::OkStatus());
  all_are_devices = true;
  ExpectRefused(Path("own/base"), kFollow);
  ExpectRefused(Path("own/base"), kSameDirectory);
  all_are_devices = false;
}

// Somebody replaces the file by a link out of the folder, again and again: what
// is opened is always the one that may be.
TEST_F(NamedFileTest, AFileThatIsReplacedMeanwhileIsNotUsed) {
  std::atomic<bool> stop = false;
  std::filesystem::create_symlink("../other/base", folder_ / "own/out");
  std::ofstream(folder_ / "own/good") << "own/base";
  std::filesystem::create_hard_link(folder_ / "own/good", folder_ / "own/now");
  std::thread attacker([&] {
    for (int i = 0; !stop.load(); ++i) {
      // Each into its place by one rename, which does nothing where both are
      // the same file already.
      std::error_code error;
      std::filesystem::remove(folder_ / "own/next", error);
      if (i % 2 == 0) {
        std::filesystem::create_symlink("../other/base", folder_ / "own/next",
                                        error);
      } else {
        std::filesystem::create_hard_link(folder_ / "own/good",
                                          folder_ / "own/next", error);
      }
      std::filesystem::rename(folder_ / "own/next", folder_ / "own/now", error);
    }
  });
  int opened = 0;
  int not_opened = 0;
  for (int i = 0; i < 20000 && !HasFailure(); ++i) {
    const auto file =
        OpenNamedFile(Path("own/image"), Path("own/now"), kSameDirectory);
    ++(file.ok() ? opened : not_opened);
    if (!file.ok()) continue;
    std::vector<std::byte> content(8);
    const auto got = (*file)->Pread(0, content);
    EXPECT_EQ(std::memcmp(content.data(), "own/base", 8), 0) << got.status();
  }
  stop = true;
  attacker.join();
  EXPECT_GT(opened, 0);
  EXPECT_GT(not_opened, 0);
}

}  // namespace
}  // namespace qcow2
