// qcow2-tool key as users run it, and QEMU with the passphrases that came and
// went.
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/cli/program.h"

namespace qcow2 {
namespace {

using Json = nlohmann::json;

class ToolKeyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* const word : {"first", "second", "third"}) {
      WriteFile(folder_ / word, word);
    }
    ASSERT_EQ(Tool({"create", "--encrypt=luks", "--iter-time=10",
                    "--secret-file=" + folder_ / "first", path_, "1M"})
                  .exit_code,
              0);
    ASSERT_EQ(Tool({"write", "--secret-file=" + folder_ / "first",
                    "--length=100000", "--pattern=7", path_})
                  .exit_code,
              0);
  }
  std::string Option(const std::string& name, const std::string& word) const {
    return "--" + name + "-file=" + folder_ / word;
  }
  Outcome Add(const std::string& known, const std::string& added,
              const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"key",
                                          "add",
                                          Option("secret", known),
                                          "--iter-time=10",
                                          Option("new-secret", added),
                                          path_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Tool(arguments);
  }
  Outcome Remove(const std::string& option) const {
    return Tool({"key", "remove", option, path_});
  }
  bool Opens(const std::string& word) const {
    return Tool({"read", Option("secret", word), "--length=3", path_})
               .standard_output == "\a\a\a";
  }
  // The arguments with which QEMU's programs get at the image.
  std::vector<std::string> QemuArguments(const std::string& command,
                                         const std::string& word) const {
    return {command, "--object", "secret,id=s,data=" + word, "--image-opts",
            "driver=qcow2,file.filename=" + path_ + ",encrypt.key-secret=s"};
  }
  // Whether qemu-img decrypts the disk as it was written.
  bool QemuOpens(const std::string& word) const {
    std::vector<std::string> arguments = QemuArguments("convert", word);
    const std::string raw = folder_ / "raw";
    arguments.insert(arguments.end(), {"-O", "raw", raw});
    return QemuImg(arguments).exit_code == 0 &&
           ReadFile(raw).substr(0, 100001) ==
               std::string(100000, '\a') + std::string(1, '\0');
  }
  std::vector<int> SlotsInUse() const {
    const Json slots = Json::parse(
        Tool({"key", "list", "--output=json", path_}).standard_output);
    std::vector<int> in_use;
    for (int i = 0; i < static_cast<int>(slots.size()); ++i) {
      if (slots.at(i).at("active")) in_use.push_back(i);
    }
    return in_use;
  }

  Folder folder_;
  const std::string path_ = folder_ / "disk.qcow2";
};

TEST_F(ToolKeyTest, PassphrasesComeAndGo) {
  EXPECT_EQ(Add("first", "second").standard_output,
            "The new passphrase is in key slot 1.\n");
  EXPECT_EQ(Add("second", "third", {"--slot=6"}).exit_code, 0);
  EXPECT_EQ(SlotsInUse(), (std::vector<int>{0, 1, 6}));
  const std::string list = Tool({"key", "list", path_}).standard_output;
  EXPECT_NE(list.find("   6  in use  "), std::string::npos) << list;
  EXPECT_NE(list.find("   7  free"), std::string::npos) << list;
  for (const char* const word : {"first", "second", "third"}) {
    EXPECT_TRUE(Opens(word)) << word;
    EXPECT_TRUE(!HaveQemu() || QemuOpens(word)) << word;
  }
  EXPECT_EQ(Remove(Option("old-secret", "first")).standard_output,
            "Removed from key slot 0.\n");
  EXPECT_EQ(Remove("--slot=6").exit_code, 0);
  EXPECT_EQ(SlotsInUse(), std::vector<int>{1});
  EXPECT_FALSE(Opens("first"));
  EXPECT_TRUE(Opens("second"));
  EXPECT_FALSE(Opens("third"));
  if (!HaveQemu()) return;
  EXPECT_FALSE(QemuOpens("first"));
  EXPECT_TRUE(QemuOpens("second"));
  EXPECT_EQ(QemuImg(QemuArguments("check", "second")).exit_code, 0);
}

TEST_F(ToolKeyTest, SecretsMayBeInTheEnvironment) {
  ASSERT_EQ(setenv("TOOL_KEY_TEST_OLD", "first", 1), 0);
  ASSERT_EQ(setenv("TOOL_KEY_TEST_NEW", "second", 1), 0);
  EXPECT_EQ(
      Tool({"key", "add", "--secret-env=TOOL_KEY_TEST_OLD",
            "--new-secret-env=TOOL_KEY_TEST_NEW", "--iter-time=10", path_})
          .exit_code,
      0);
  EXPECT_EQ(Remove("--old-secret-env=TOOL_KEY_TEST_OLD").exit_code, 0);
  EXPECT_TRUE(Opens("second"));
  EXPECT_FALSE(Opens("first"));
}

TEST_F(ToolKeyTest, TheLastOneStays) {
  for (const std::string& option :
       {std::string("--slot=0"), Option("old-secret", "first")}) {
    const Outcome outcome = Remove(option);
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_NE(outcome.standard_error.find(
                  "no other LUKS key slot is active: without it the data is "
                  "lost"),
              std::string::npos)
        << outcome.standard_error;
  }
  EXPECT_TRUE(Opens("first"));
}

TEST_F(ToolKeyTest, MistakesAreToldAndChangeNothing) {
  const std::string before = ReadFile(path_);
  const auto error = [](const Outcome& outcome, int code) {
    EXPECT_EQ(outcome.exit_code, code) << outcome.standard_error;
    return outcome.standard_error;
  };
  EXPECT_NE(error(Add("third", "second"), 1).find("passphrase"),
            std::string::npos);
  EXPECT_NE(error(Add("first", "second", {"--slot=0"}), 1).find("in use"),
            std::string::npos);
  EXPECT_NE(error(Add("first", "second", {"--slot=8"}), 1).find("0 to 7"),
            std::string::npos);
  EXPECT_NE(error(Remove("--slot=3"), 1).find("not in use"), std::string::npos);
  EXPECT_NE(error(Remove(Option("old-secret", "third")), 1).find("passphrase"),
            std::string::npos);
  error(Tool({"key", "remove", path_}), 2);
  error(
      Tool({"key", "remove", "--slot=0", Option("old-secret", "first"), path_}),
      2);
  error(Tool({"key", "add", Option("secret", "first"), path_}), 2);
  error(Tool({"key", "add", Option("new-secret", "first"), path_}), 2);
  EXPECT_TRUE(ReadFile(path_) == before);
}

TEST_F(ToolKeyTest, OtherImagesHaveNoKeySlots) {
  const std::string aes = folder_ / "aes.qcow2";
  ASSERT_EQ(
      Tool({"create", "--encrypt=aes", Option("secret", "first"), aes, "1M"})
          .exit_code,
      0);
  const std::string plain = folder_ / "plain.qcow2";
  ASSERT_EQ(Tool({"create", plain, "1M"}).exit_code, 0);
  for (const auto& [path, what] :
       {std::pair(aes, "the old AES encryption, which has no key slots"),
        std::pair(plain, "not encrypted")}) {
    for (const std::vector<std::string>& arguments :
         std::vector<std::vector<std::string>>{
             {"key", "list", path},
             {"key", "add", Option("secret", "first"),
              Option("new-secret", "second"), path},
             {"key", "remove", "--slot=0", path},
             {"key", "remove", Option("old-secret", "first"), path}}) {
      const Outcome outcome = Tool(arguments);
      EXPECT_EQ(outcome.exit_code, 1);
      EXPECT_NE(outcome.standard_error.find(what), std::string::npos)
          << outcome.standard_error;
    }
  }
}

TEST_F(ToolKeyTest, WhatQemuAddsAndRemoves) {
  if (!HaveQemu()) GTEST_SKIP() << "qemu-img is not installed";
  const auto amend = [&](const std::string& options) {
    std::vector<std::string> arguments = QemuArguments("amend", "first");
    arguments.insert(arguments.end(),
                     {"--object", "secret,id=n,data=second", "-o", options});
    // It gives up now and then when it measures how fast the processor is.
    Outcome outcome;
    for (int attempt = 0; attempt < 50; ++attempt) {
      outcome = QemuImg(arguments);
      if (outcome.standard_error.find("accurate CPU") == std::string::npos) {
        break;
      }
    }
    EXPECT_EQ(outcome.exit_code, 0) << outcome.standard_error;
  };
  amend(
      "encrypt.state=active,encrypt.new-secret=n,encrypt.iter-time=10,"
      "encrypt.keyslot=4");
  EXPECT_EQ(SlotsInUse(), (std::vector<int>{0, 4}));
  EXPECT_TRUE(Opens("second"));
  EXPECT_EQ(Remove(Option("old-secret", "second")).exit_code, 0);
  EXPECT_FALSE(QemuOpens("second"));
  EXPECT_EQ(Add("first", "second").exit_code, 0);
  amend("encrypt.state=inactive,encrypt.old-secret=n");
  EXPECT_EQ(SlotsInUse(), std::vector<int>{0});
  EXPECT_FALSE(Opens("second"));
  EXPECT_TRUE(Opens("first"));
}

// What the header tells needs no passphrase; bitmaps are not encrypted.
TEST_F(ToolKeyTest, ListsNeedNoPassphrase) {
  ASSERT_EQ(
      Tool({"bitmap", "add", Option("secret", "first"), path_, "b"}).exit_code,
      0);
  ASSERT_EQ(Tool({"snapshot", "create", Option("secret", "first"), path_, "s"})
                .exit_code,
            0);
  const Outcome bitmaps = Tool({"bitmap", "list", path_});
  EXPECT_EQ(bitmaps.exit_code, 0) << bitmaps.standard_error;
  EXPECT_NE(bitmaps.standard_output.find("\nb "), std::string::npos);
  const Outcome snapshots = Tool({"snapshot", "list", path_});
  EXPECT_EQ(snapshots.exit_code, 0) << snapshots.standard_error;
  EXPECT_EQ(Tool({"read", "--length=3", path_}).exit_code, 1);
}

}  // namespace
}  // namespace qcow2
