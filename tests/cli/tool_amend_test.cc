// qcow2-tool amend where something stands in the way: it says what, changes
// nothing, and the command it names helps.
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/program.h"

namespace qcow2 {
namespace {

using testing::HasSubstr;

class ToolAmendTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HaveQemu()) GTEST_SKIP() << "qemu-img is not installed";
    Run(QemuImg({"create", "-q", "-f", "qcow2", path_, "3M"}));
    Run(QemuImg({"bitmap", "--add", path_, "monday"}));
    Run(QemuImg({"bitmap", "--add", path_, "tuesday"}));
    Run(Tool(
        {"write", "--offset=1M", "--length=100000", "--pattern=7", path_}));
  }
  static void Run(const Outcome& outcome) {
    ASSERT_EQ(outcome.exit_code, 0)
        << outcome.standard_output << outcome.standard_error;
  }
  static Outcome Downgrade(const std::string& path) {
    return Tool({"amend", "--compat=0.10", path});
  }
  // Refused with these words, and nothing has changed.
  void ExpectRefused(const std::vector<std::string>& words) {
    const std::string before = ReadFile(path_);
    const Outcome outcome = Downgrade(path_);
    EXPECT_EQ(outcome.exit_code, 1);
    for (const std::string& word : words) {
      EXPECT_THAT(outcome.standard_error, HasSubstr(word));
    }
    EXPECT_TRUE(ReadFile(path_) == before);
  }
  void ExpectDowngraded() {
    Run(Downgrade(path_));
    Run(Fsck({path_}));
    Run(QemuImg({"check", "-q", path_}));
    const Outcome info = QemuImg({"info", path_});
    EXPECT_THAT(info.standard_output, HasSubstr("compat: 0.10"));
    // Of bitmaps that are left QEMU warns.
    EXPECT_EQ(info.standard_error, "");
  }
  void Poke(uint64_t offset, char value) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(value);
  }

  Folder folder_;
  const std::string path_ = folder_ / "disk.qcow2";
};

TEST_F(ToolAmendTest, NamesTheBitmapsInTheWay) {
  ExpectRefused({"\"monday\", \"tuesday\"", "qcow2-tool bitmap remove"});
  Run(Tool({"bitmap", "remove", path_, "monday"}));
  ExpectRefused({"has \"tuesday\";", "qcow2-tool bitmap remove"});
  Run(Tool({"bitmap", "remove", path_, "tuesday"}));
  ExpectDowngraded();
}

TEST_F(ToolAmendTest, CountsTheBitmapsInTheWay) {
  for (const char* name : {"a", "b", "c"}) {
    Run(Tool({"bitmap", "add", path_, name}));
  }
  ExpectRefused({"\"monday\", \"tuesday\", \"a\" and 2 more"});
}

// One that was in use when its program ended.
TEST_F(ToolAmendTest, NamesInconsistentBitmaps) {
  const std::string image = ReadFile(path_);
  // The directory, and in it the entry that the name follows.
  const size_t name = image.rfind("monday");
  ASSERT_NE(name, std::string::npos);
  // The flags are 12 bytes before the 12 that end the entry's fixed part.
  Poke(name - 24 + 12 + 3, 3);
  const Outcome list = Tool({"bitmap", "list", path_});
  EXPECT_THAT(list.standard_output, HasSubstr("in-use"));
  ExpectRefused({"\"monday\", \"tuesday\"", "qcow2-tool bitmap remove"});
  Run(Tool({"bitmap", "remove", path_, "monday"}));
  Run(Tool({"bitmap", "remove", path_, "tuesday"}));
  ExpectDowngraded();
}

// What a program left that does not know bitmaps: nobody can remove it by name.
TEST_F(ToolAmendTest, SaysHowToBeRidOfStaleBitmaps) {
  constexpr uint64_t kAutoclearLowestByte = 95;
  Poke(kAutoclearLowestByte, 0);
  EXPECT_EQ(Tool({"bitmap", "remove", path_, "monday"}).exit_code, 1);
  ExpectRefused({"void", "qcow2-fsck --repair"});
  EXPECT_EQ(Fsck({"--repair", "--no-undo", path_}).exit_code, 1);
  ExpectDowngraded();
}

TEST_F(ToolAmendTest, SaysHowToMendADamagedDirectory) {
  const std::string image = ReadFile(path_);
  const size_t name = image.rfind("monday");
  ASSERT_NE(name, std::string::npos);
  // The length of the name.
  Poke(name - 24 + 18, 0x7f);
  ExpectRefused({"directory", "damaged", "qcow2-fsck --repair"});
  // What the directory named is left, as suspect leaks: exit code 4.
  EXPECT_EQ(Fsck({"--repair", "--no-undo", path_}).exit_code & 1, 1);
  for (const char* bitmap : {"monday", "tuesday"}) {
    Tool({"bitmap", "remove", path_, bitmap});
  }
  Run(Downgrade(path_));
}

}  // namespace
}  // namespace qcow2
