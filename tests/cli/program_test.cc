// The whole program from the outside: what it prints where, and its exit code.
#include "tests/cli/program.h"

#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "gtest/gtest.h"

namespace qcow2 {
namespace {

namespace fs = std::filesystem;

bool Holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class ProgramTest : public testing::Test {
 protected:
  // A clean image, and one with a leaked cluster.
  void SetUp() override {
    ASSERT_EQ(
        RunProgram({"qemu-img", "create", "-q", "-f", "qcow2", clean_, "64M"})
            .exit_code,
        0);
    ASSERT_EQ(RunProgram({"qemu-io", "-c", "write 0 1M", clean_}).exit_code, 0);
    std::string content = ReadFile(clean_);
    // The last refcount of the only block in use: QEMU lays the image out as
    // header, refcount table, refcount block, L1 table, L2 table, data.
    const size_t leaked = content.size() / 65536;
    content.resize(content.size() + 65536);
    content[size_t{2} * 65536 + 2 * leaked + 1] = 1;
    WriteFile(leaky_, content);
  }

  Folder folder_;
  std::string clean_ = folder_ / "clean.qcow2";
  std::string leaky_ = folder_ / "leaky.qcow2";
};

TEST_F(ProgramTest, CleanImage) {
  const std::string before = ReadFile(clean_);
  const Outcome outcome = Fsck({clean_});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_TRUE(outcome.standard_output.starts_with(
      clean_ + ": clean: no problems found\n"))
      << outcome.standard_output;
  EXPECT_EQ(outcome.standard_error, "");
  EXPECT_TRUE(ReadFile(clean_) == before);
}

TEST_F(ProgramTest, LeakedCluster) {
  const std::string before = ReadFile(leaky_);
  const Outcome outcome = Fsck({leaky_});
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_TRUE(outcome.standard_output.starts_with(
      leaky_ + ": LEAKS: 1 leak; no data is at risk\n"))
      << outcome.standard_output;
  EXPECT_EQ(outcome.standard_error, "");
  EXPECT_TRUE(ReadFile(leaky_) == before);
}

TEST_F(ProgramTest, UsageErrorsGoToStandardError) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{},
                                             {"--nonsense", clean_},
                                             {"--output=xml", clean_},
                                             {"--explain=nonsense"},
                                             {"--repair"},
                                             {"--dry-run", clean_}}) {
    const Outcome outcome = Fsck(arguments);
    EXPECT_EQ(outcome.exit_code, 16);
    EXPECT_EQ(outcome.standard_output, "");
    EXPECT_TRUE(outcome.standard_error.starts_with("qcow2-fsck: "));
  }
}

TEST_F(ProgramTest, HelpAndExplanationGoToStandardOutput) {
  for (const char* option : {"--help", "--version", "--explain=312",
                             "--explain=cluster-leaked", "--explain=list"}) {
    const Outcome outcome = Fsck({option});
    EXPECT_EQ(outcome.exit_code, 0) << option;
    EXPECT_NE(outcome.standard_output, "") << option;
    EXPECT_EQ(outcome.standard_error, "") << option;
  }
}

TEST_F(ProgramTest, WhatIsNoFileIsRefused) {
  const std::string fifo = folder_ / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const std::string folder = folder_ / "folder";
  fs::create_directory(folder);
  const struct {
    std::string path;
    std::string message;
  } cases[] = {
      {folder_ / "missing", "No such file or directory"},
      {folder, "is a directory"},
      {folder, "--recursive"},
      {fifo, "is a FIFO"},
      {"/dev/null", "is a character device"},
      {"", "No such file or directory"},
  };
  for (const auto& [path, message] : cases) {
    const Outcome human = Fsck({path});
    EXPECT_EQ(human.exit_code, 8) << path;
    EXPECT_TRUE(Holds(human.standard_output, ": NOT CHECKED\n")) << path;
    EXPECT_TRUE(Holds(human.standard_output, message)) << human.standard_output;
    const Outcome json = Fsck({"--output=json", path});
    EXPECT_EQ(json.exit_code, 8) << path;
    const auto report = nlohmann::json::parse(json.standard_output);
    EXPECT_EQ(report["status"], "error") << path;
    EXPECT_EQ(report["exit_code"], 8) << path;
    EXPECT_TRUE(Holds(json.standard_error, message)) << json.standard_error;
  }
}

TEST_F(ProgramTest, AnEmptyFileIsDiagnosed) {
  const std::string path = folder_ / "empty";
  WriteFile(path, "");
  const Outcome outcome = Fsck({path});
  EXPECT_NE(outcome.exit_code & 4, 0);
  EXPECT_TRUE(Holds(outcome.standard_output, "header-truncated (101)"))
      << outcome.standard_output;
}

TEST_F(ProgramTest, NoRepairIsProposedWhereNoneCanBeDone) {
  const std::string path = folder_ / "junk";
  WriteFile(path, std::string(70000, 'j'));
  const Outcome outcome = Fsck({path});
  EXPECT_NE(outcome.standard_output.find(
                "do not write to it. Nothing\nhere can be repaired"),
            std::string::npos)
      << outcome.standard_output;
  EXPECT_EQ(outcome.standard_output.find("--repair"), std::string::npos);
}

TEST_F(ProgramTest, ManyImagesInEveryFormat) {
  const std::vector<std::string> images = {clean_, leaky_, folder_ / "missing"};
  const auto with = [&](const std::string& option) {
    std::vector<std::string> arguments = images;
    arguments.insert(arguments.begin(), option);
    return Fsck(arguments);
  };
  const Outcome human = with("--output=human");
  EXPECT_EQ(human.exit_code, 12);
  EXPECT_TRUE(Holds(human.standard_output,
                    "\n3 of 3 images looked at: clean 1, leaks 1, error 1.\n"))
      << human.standard_output;

  const Outcome json = with("--output=json");
  EXPECT_EQ(json.exit_code, 12);
  const auto array = nlohmann::json::parse(json.standard_output);
  ASSERT_EQ(array.size(), 3u);
  EXPECT_EQ(array[1]["problems"][0]["code"], "cluster-leaked");

  const Outcome ndjson = with("--output=ndjson");
  EXPECT_EQ(ndjson.exit_code, 12);
  std::istringstream lines(ndjson.standard_output);
  std::vector<std::string> statuses;
  for (std::string line; std::getline(lines, line);) {
    statuses.push_back(nlohmann::json::parse(line)["status"]);
  }
  EXPECT_EQ(statuses, (std::vector<std::string>{"clean", "leaks", "error"}));
}

TEST_F(ProgramTest, ReportAndMetricsGoToFiles) {
  const std::string report = folder_ / "report.json";
  const std::string metrics = folder_ / "fsck.prom";
  const Outcome outcome =
      Fsck({"--report=" + report, "--metrics=" + metrics, clean_, leaky_});
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_TRUE(Holds(outcome.standard_output, "LEAKS"));
  EXPECT_EQ(nlohmann::json::parse(ReadFile(report)).size(), 2u);
  EXPECT_TRUE(Holds(ReadFile(metrics),
                    "qcow2_fsck_leaks{image=\"" + leaky_ + "\"} 1\n"));
}

TEST_F(ProgramTest, FilesThatCannotBeWritten) {
  for (const std::string option : {"--report=", "--metrics="}) {
    for (const std::string& place :
         {std::string("/proc/nowhere/file"), folder_ / "missing/file"}) {
      const Outcome outcome = Fsck({option + place, clean_});
      EXPECT_EQ(outcome.exit_code, 8) << option << place;
      EXPECT_TRUE(Holds(outcome.standard_error, place));
    }
    EXPECT_EQ(Fsck({option + "/dev/full", clean_}).exit_code, 8) << option;
  }
}

TEST_F(ProgramTest, AReportNeverReplacesAnImage) {
  const std::string before = ReadFile(leaky_);
  const Outcome outcome = Fsck({"--report=" + leaky_, clean_});
  EXPECT_EQ(outcome.exit_code, 16);
  EXPECT_TRUE(Holds(outcome.standard_error, "is a qcow2 image"));
  EXPECT_TRUE(ReadFile(leaky_) == before);
}

TEST_F(ProgramTest, AFullStandardOutputIsAnError) {
  const Outcome outcome = RunProgramTo("/dev/full", {kFsck, leaky_});
  EXPECT_EQ(outcome.exit_code, 12);
  EXPECT_TRUE(Holds(outcome.standard_error, "cannot write"));
  EXPECT_EQ(RunProgramTo("/dev/full", {kFsck, "--help"}).exit_code, 8);
}

TEST_F(ProgramTest, NoProgressInAPipe) {
  EXPECT_EQ(Fsck({clean_}).standard_error, "");
  EXPECT_EQ(Fsck({"--no-progress", clean_}).standard_error, "");
}

// The images are many, so that the signal comes while there are some left.
TEST_F(ProgramTest, InterruptedItEndsWithItsOwnCode) {
  for (const int signal : {SIGINT, SIGTERM}) {
    std::vector<std::string> arguments(5000, clean_);
    arguments.insert(arguments.begin(), {kFsck, "--output=ndjson"});
    Background fsck(arguments);
    ASSERT_TRUE(fsck.WaitFor("\n"));
    fsck.Signal(signal);
    EXPECT_EQ(fsck.Finish(), 32);
  }
}

TEST_F(ProgramTest, AnImageInUseIsRefused) {
  Background qemu({"qemu-io", clean_});
  ASSERT_TRUE(qemu.WaitFor("qemu-io> "));
  EXPECT_EQ(Fsck({clean_}).exit_code, 8);
  const Outcome refused = Fsck({"--output=json", clean_});
  EXPECT_EQ(refused.exit_code, 8);
  EXPECT_TRUE(Holds(refused.standard_error, "running virtual machine"));
  EXPECT_TRUE(Holds(refused.standard_error, "--force-share"));
  EXPECT_EQ(Fsck({"--force-share", clean_}).exit_code, 0);
  EXPECT_EQ(Fsck({"-U", clean_}).exit_code, 0);
  EXPECT_EQ(Fsck({"--compat=qemu-img", clean_}).exit_code, 1);
  EXPECT_EQ(Fsck({"--compat=qemu-img", "-U", clean_}).exit_code, 0);
  EXPECT_EQ(qemu.Finish(), 0);
  EXPECT_EQ(Fsck({clean_}).exit_code, 0);
}

TEST_F(ProgramTest, AnImageThatIsOnlyReadElsewhereIsChecked) {
  Background qemu({"qemu-io", "-r", clean_});
  ASSERT_TRUE(qemu.WaitFor("qemu-io> "));
  EXPECT_EQ(Fsck({clean_}).exit_code, 0);
  EXPECT_EQ(qemu.Finish(), 0);
}

TEST_F(ProgramTest, InPlaceOfQemuImgCheck) {
  const auto compat = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "--compat=qemu-img");
    return Fsck(arguments);
  };
  EXPECT_EQ(compat({clean_}).exit_code, 0);
  EXPECT_EQ(compat({leaky_}).exit_code, 3);
  EXPECT_EQ(compat({folder_ / "missing"}).exit_code, 1);
  EXPECT_EQ(compat({"-r", "everything", leaky_}).exit_code, 1);
  EXPECT_EQ(compat({"-f", "raw", leaky_}).exit_code, 63);
  EXPECT_EQ(compat({"-f", "nonsense", leaky_}).exit_code, 1);
  const std::string other = folder_ / "other";
  WriteFile(other, "no image");
  EXPECT_EQ(compat({other}).exit_code, 63);
  EXPECT_EQ(compat({"-f", "qcow2", other}).exit_code, 1);
  const Outcome quiet = compat({"-q", leaky_});
  EXPECT_EQ(quiet.exit_code, 3);
  EXPECT_EQ(quiet.standard_output, "");
  EXPECT_TRUE(Holds(quiet.standard_error, "Leaked cluster "));
}

}  // namespace
}  // namespace qcow2
