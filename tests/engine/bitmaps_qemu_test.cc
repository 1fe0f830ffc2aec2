// Dirty bitmaps that qemu-img made, in images that the engine writes.
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/image/image.h"
#include "engine/storage/posix_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/differential/qemu_img.h"

namespace qcow2 {
namespace {

using testing::HasSubstr;
using testing::Not;

class BitmapsQemuTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HaveQemuImg()) GTEST_SKIP() << "there is no qemu-img";
    path_ = testing::TempDir() + "/bitmaps.qcow2";
    Run("qemu-img create -q -f qcow2 " + path_ + " 8M");
    Run("qemu-img bitmap --add " + path_ + " recording");
    Run("qemu-img bitmap --add --disable " + path_ + " still");
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string Run(const std::string& command) {
    std::string output;
    EXPECT_EQ(RunCommand(command, &output), 0) << command << "\n" << output;
    return output;
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

  std::string path_;
};

// A bitmap that records and missed a write is never taken for complete; one
// that does not record is as good as before.
TEST_F(BitmapsQemuTest, AreMarkedBeforeTheDiskChanges) {
  const auto image = Open();
  const std::vector<std::byte> data(1000, std::byte{1});
  ASSERT_EQ(image->Write(5000, data), absl::OkStatus());
  // Even now, when nothing else need have reached the file.
  const std::string info = Run("qemu-img info -U " + path_);
  EXPECT_THAT(info, HasSubstr("in-use"));
  ASSERT_EQ(image->Close(), absl::OkStatus());
  EXPECT_EQ(QemuCheck(path_).exit_code, 0);
  std::string output;
  EXPECT_NE(RunCommand("qemu-img bitmap --clear " + path_ + " recording 2>&1",
                       &output),
            0);
  EXPECT_THAT(output, HasSubstr("inconsistent"));
  Run("qemu-img bitmap --clear " + path_ + " still");
  Run("qemu-img bitmap --remove " + path_ + " recording");
  EXPECT_EQ(QemuCheck(path_).exit_code, 0);
}

TEST_F(BitmapsQemuTest, StayWhereNothingIsWritten) {
  {
    const auto image = Open();
    std::vector<std::byte> data(1000);
    ASSERT_EQ(image->Read(5000, data), absl::OkStatus());
    ASSERT_EQ(image->Close(), absl::OkStatus());
  }
  EXPECT_THAT(Run("qemu-img info " + path_), Not(HasSubstr("in-use")));
  Run("qemu-img bitmap --clear " + path_ + " recording");
}

}  // namespace
}  // namespace qcow2
