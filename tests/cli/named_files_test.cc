// Which of the files that an image names are opened: the policies of
// qcow2-tool and qcow2-fsck, and files that are none. Nothing here may wait
// for another process.
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/cli/program.h"

namespace qcow2 {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

// A folder "own" with the image "top", and a folder "other".
class NamedFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"own", "other"}) {
      std::filesystem::create_directory(folder_ / name);
    }
    for (const char* name : {"own/base", "other/base"}) {
      Run(Tool({"create", folder_ / name, "1M"}));
      Run(Tool({"write", "--length=4096", "--pattern=98", folder_ / name}));
    }
    std::filesystem::create_symlink("base", folder_ / "own/near");
    std::filesystem::create_symlink("../other/base", folder_ / "own/far");
    ASSERT_EQ(mkfifo((folder_ / "own/fifo").c_str(), 0600), 0);
    std::filesystem::create_symlink("fifo", folder_ / "own/to-fifo");
  }
  static void Run(const Outcome& outcome) {
    ASSERT_EQ(outcome.exit_code, 0)
        << outcome.standard_output << outcome.standard_error;
  }
  // "top" over a backing file of that name.
  void MakeTop(const std::string& backing,
               const std::string& format = "qcow2") {
    std::filesystem::remove(top_);
    Run(Tool({"create", "-u", "-b", backing, "-F", format, top_, "1M"}));
  }
  Outcome Read(const std::string& policy) {
    return Tool({"read", "--length=1", "--backing=" + policy, top_});
  }
  void ExpectReads(const std::string& policy, const std::string& bytes) {
    const Outcome outcome = Read(policy);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.standard_error;
    EXPECT_EQ(outcome.standard_output, bytes) << policy;
  }
  void ExpectRefused(const std::string& policy, const std::string& why) {
    const Outcome outcome = Read(policy);
    EXPECT_EQ(outcome.exit_code, 1) << policy;
    EXPECT_THAT(outcome.standard_error, HasSubstr(why)) << policy;
    EXPECT_EQ(outcome.standard_output, "") << policy;
  }
  // What qcow2-fsck says of "top", and its exit code.
  Json Check(const std::string& policy, int exit_code = 0) {
    const Outcome outcome =
        Fsck({"--deep", "--backing=" + policy, "--output=json", top_});
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.standard_output;
    return Json::parse(outcome.standard_output);
  }
  static std::vector<std::string> CodesOf(const Json& findings) {
    std::vector<std::string> codes;
    for (const Json& finding : findings) codes.push_back(finding.at("code"));
    return codes;
  }

  Folder folder_;
  const std::string top_ = folder_ / "own/top";
};

using Codes = std::vector<std::string>;

TEST_F(NamedFilesTest, FilesOfTheSameFolder) {
  for (const std::string& name :
       {std::string("base"), std::string("./base"), std::string("near"),
        std::string("../own/base"), std::string(folder_ / "own/base")}) {
    SCOPED_TRACE(name);
    MakeTop(name);
    for (const char* policy : {"follow", "any", "same-dir"}) {
      ExpectReads(policy, "b");
      EXPECT_EQ(CodesOf(Check(policy).at("warnings")), Codes());
    }
    ExpectReads("none", std::string(1, '\0'));
    EXPECT_EQ(CodesOf(Check("none").at("warnings")), Codes());
  }
}

TEST_F(NamedFilesTest, FilesOfAnotherFolder) {
  for (const std::string& name :
       {std::string("../other/base"), std::string("far"),
        std::string(folder_ / "other/base")}) {
    SCOPED_TRACE(name);
    MakeTop(name);
    ExpectReads("follow", "b");
    ExpectRefused("same-dir", "not in the folder of");
    ExpectReads("none", std::string(1, '\0'));
    EXPECT_EQ(CodesOf(Check("follow").at("warnings")), Codes());
    EXPECT_EQ(CodesOf(Check("same-dir").at("warnings")),
              Codes{"other-file-not-opened"});
  }
}

// The policy holds for every image of a chain.
TEST_F(NamedFilesTest, FilesFurtherDown) {
  const std::string middle = folder_ / "own/middle";
  Run(Tool({"create", "-b", "../other/base", "-F", "qcow2", middle}));
  MakeTop("middle");
  ExpectReads("follow", "b");
  ExpectRefused("same-dir", "file named by '" + middle + "'");
  EXPECT_EQ(CodesOf(Check("same-dir").at("warnings")),
            Codes{"other-file-not-opened"});
  EXPECT_EQ(Tool({"info", "--backing-chain", top_}).exit_code, 0);
  const Outcome info =
      Tool({"info", "--backing-chain", "--backing=same-dir", top_});
  EXPECT_EQ(info.exit_code, 1);
  EXPECT_THAT(info.standard_error, HasSubstr("not in the folder of"));
  const Outcome alone = Tool(
      {"info", "--backing-chain", "--backing=none", "--output=json", top_});
  EXPECT_EQ(Json::parse(alone.standard_output).size(), 1u);
}

TEST_F(NamedFilesTest, WhatIsNoFile) {
  for (const auto& [name, why] :
       {std::pair("fifo", "FIFO"), std::pair("to-fifo", "FIFO"),
        std::pair("../own", "directory"),
        std::pair("/dev/zero", "character device")}) {
    SCOPED_TRACE(name);
    MakeTop(name, "raw");
    ExpectRefused("follow", why);
    ExpectRefused("any", why);
    ExpectReads("none", std::string(1, '\0'));
    EXPECT_EQ(CodesOf(Check("follow", 4).at("problems")),
              Codes{"backing-missing"});
  }
  MakeTop("fifo", "raw");
  ExpectRefused("same-dir", "FIFO");
  for (const char* name : {"nbd://localhost/disk", "json:{\"driver\":\"raw\"}",
                           "host_device:/dev/sda"}) {
    MakeTop(name, "raw");
    for (const char* policy : {"follow", "any", "same-dir"}) {
      ExpectRefused(policy, "only files named by their path");
    }
    // Not even looked for.
    EXPECT_EQ(CodesOf(Check("follow").at("warnings")), Codes());
  }
}

TEST_F(NamedFilesTest, DataFiles) {
  const auto make = [&](const std::string& name) {
    std::filesystem::remove(top_);
    Run(Tool({"create", "-o", "data_file=" + name, top_, "1M"}));
    Run(Tool({"write", "--length=1", "--pattern=100", top_}));
  };
  make("data");
  for (const char* policy : {"follow", "any", "same-dir"}) {
    ExpectReads(policy, "d");
  }
  ExpectRefused("none", "policy being none");
  make("../other/data");
  ExpectReads("follow", "d");
  ExpectRefused("same-dir", "not in the folder of");
  EXPECT_EQ(CodesOf(Check("same-dir").at("warnings")),
            Codes{"other-file-not-opened"});
  EXPECT_EQ(
      Tool({"write", "--length=1", "--pattern=1", "--backing=same-dir", top_})
          .exit_code,
      1);
  ASSERT_TRUE(std::filesystem::remove(folder_ / "other/data"));
  ASSERT_EQ(mkfifo((folder_ / "other/data").c_str(), 0600), 0);
  ExpectRefused("follow", "FIFO");
  EXPECT_EQ(CodesOf(Check("follow", 4).at("problems")),
            Codes{"data-file-missing"});
}

// What would need the backing file is not done without it.
TEST_F(NamedFilesTest, NothingIsWrittenWithoutTheBackingFile) {
  MakeTop("base");
  const std::string before = ReadFile(top_);
  const std::vector<std::vector<std::string>> commands = {
      {"write", "--length=1", "--pattern=1", "--backing=none", top_},
      {"zero", "--length=1", "--backing=none", top_},
      {"commit", "--backing=none", top_},
      {"rebase", "-b", "near", "-F", "qcow2", "--backing=none", top_}};
  for (const std::vector<std::string>& command : commands) {
    const Outcome outcome = Tool(command);
    EXPECT_EQ(outcome.exit_code, 1) << command[0];
    EXPECT_THAT(outcome.standard_error, HasSubstr("backing file"));
    EXPECT_TRUE(ReadFile(top_) == before) << command[0];
  }
  // To change the name alone no file is needed.
  Run(Tool(
      {"rebase", "-u", "-b", "near", "-F", "qcow2", "--backing=none", top_}));
  ExpectReads("same-dir", "b");
  Run(Tool(
      {"write", "--length=1", "--pattern=116", "--backing=same-dir", top_}));
  ExpectReads("same-dir", "t");
}

TEST_F(NamedFilesTest, ConvertReadsWhatItMay) {
  MakeTop("far");
  const std::string raw = folder_ / "raw";
  const Outcome refused =
      Tool({"convert", "-O", "raw", "--backing=same-dir", top_, raw});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_FALSE(std::filesystem::exists(raw));
  Run(Tool({"convert", "-O", "raw", top_, raw}));
  EXPECT_EQ(ReadFile(raw).substr(0, 2), "bb");
  Run(Tool({"convert", "-O", "raw", "--backing=none", top_, raw}));
  EXPECT_EQ(ReadFile(raw).substr(0, 2), std::string(2, '\0'));
}

TEST_F(NamedFilesTest, APolicyHasAName) {
  EXPECT_EQ(Tool({"read", "--backing=all", top_}).exit_code, 2);
  EXPECT_EQ(Fsck({"--backing=all", top_}).exit_code, 16);
}

}  // namespace
}  // namespace qcow2
