// qcow2-tool as users run it, with qemu-img as the second opinion.
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/cli/program.h"

namespace qcow2 {
namespace {

using Json = nlohmann::json;

#define ASSERT_RUNS(outcome)                                       \
  do {                                                             \
    const Outcome ran = (outcome);                                 \
    ASSERT_EQ(ran.exit_code, 0) << ran.standard_error << #outcome; \
  } while (false)

class ToolTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_ / name; }
  // A new image with a line of text at 100000.
  std::string Image(const std::vector<std::string>& options = {}) {
    std::string path = Path("disk.qcow2");
    std::vector<std::string> arguments = {"create", path, "8M"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    EXPECT_EQ(Tool(arguments).exit_code, 0);
    WriteFile(Path("line"), "a line of text\n");
    EXPECT_EQ(
        Tool({"write", "--offset=100000", "--input=" + Path("line"), path})
            .exit_code,
        0);
    return path;
  }
  void ExpectClean(const std::string& path) {
    if (!HaveQemu()) return;
    const Outcome check = QemuImg({"check", "-q", path});
    EXPECT_EQ(check.exit_code, 0) << check.standard_output;
  }

  Folder folder_;
};

TEST_F(ToolTest, HelpIsOnStandardOutputAndUsageErrorsAreNot) {
  const Outcome help = Tool({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_NE(help.standard_output.find("Subcommands:"), std::string::npos);
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{
           {},
           {"no-such-command"},
           {"dump"},
           {"dump", "--what=nonsense", "x"},
           {"dump", "--what=", "x"},
           {"create", "x", "ten"},
           {"create", "-o", "nonsense=1", "x", "1M"},
           {"write", "x"},
           {"write", "--pattern=0x100", "--length=1", "x"},
           {"fdisk"},
           {"fdisk", "create", "--type=0", "x"}}) {
    const Outcome outcome = Tool(wrong);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.standard_error;
    EXPECT_EQ(outcome.standard_output, "");
    EXPECT_NE(outcome.standard_error, "");
  }
  const Outcome missing = Tool({"dump", Path("nowhere")});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_NE(missing.standard_error.find("qcow2-tool: "), std::string::npos);
}

TEST_F(ToolTest, AMisspeltSubcommandIsNamed) {
  EXPECT_NE(Tool({"creat", "x", "1M"})
                .standard_error.find("there is no subcommand 'creat'"),
            std::string::npos);
  EXPECT_NE(Tool({}).standard_error.find("A subcommand is required"),
            std::string::npos);
}

TEST_F(ToolTest, WhatIsWrittenIsRead) {
  const std::string path = Image();
  EXPECT_EQ(
      Tool({"read", "--offset=100000", "--length=15", path}).standard_output,
      "a line of text\n");
  ASSERT_RUNS(
      Tool({"write", "--offset=1M", "--length=70000", "--pattern=0x41", path}));
  EXPECT_EQ(Tool({"read", "--offset=0x100000", "--length=70001", path})
                .standard_output,
            std::string(70000, 'A') + std::string(1, '\0'));
  ASSERT_RUNS(Tool({"zero", "--offset=1M", "--length=4", path}));
  ASSERT_RUNS(Tool(
      {"read", "--offset=1M", "--length=6", "--to=" + Path("piece"), path}));
  EXPECT_EQ(ReadFile(Path("piece")), std::string(4, '\0') + "AA");
  ASSERT_RUNS(Tool({"discard", path}));
  EXPECT_EQ(
      Tool({"read", "--offset=100000", "--length=2", path}).standard_output,
      std::string(2, '\0'));
  ExpectClean(path);
}

TEST_F(ToolTest, InfoBeginsWithWhatAPersonAsksFirst) {
  const std::string base = Image();
  const std::string path = Path("top.qcow2");
  ASSERT_RUNS(Tool({"create", "--backing-file=" + base, path}));
  const std::string text = Tool({"info", path}).standard_output;
  EXPECT_TRUE(text.starts_with("filename: " + path +
                               "\nformat: qcow2\n"
                               "virtual-size: 8388608 (8 MiB)\nactual-size: "))
      << text;
  EXPECT_LT(text.find("\nbacking-filename: " + base + "\n"),
            text.find("\nformat-specific:\n  "))
      << text;
  EXPECT_EQ(text.find("dirty-flag"), std::string::npos) << text;
}

TEST_F(ToolTest, NothingPastTheEndOfTheDisk) {
  const std::string path = Image();
  EXPECT_EQ(Tool({"read", "--offset=1M", "--length=8M", path}).standard_error,
            "qcow2-tool: '" + path +
                "': the range at offset 1048576 of length 8388608 ends past "
                "the end of the disk, which has 8388608 bytes\n");
  EXPECT_EQ(Tool({"read", "--offset=8M", "--length=1", path}).exit_code, 1);
  EXPECT_EQ(Tool({"write", "--offset=8M", "--length=1", "--pattern=1", path})
                .exit_code,
            1);
  EXPECT_EQ(Tool({"write", "--offset=8388600", "--input=" + Path("line"), path})
                .exit_code,
            1);
  EXPECT_EQ(Tool({"write", "--length=100", "--input=" + Path("line"), path})
                .exit_code,
            1);
}

TEST_F(ToolTest, ABackingFileGivesTheSizeAndShowsThrough) {
  Image();
  ASSERT_RUNS(Tool(
      {"create", "-b", "disk.qcow2", "-F", "qcow2", Path("overlay.qcow2")}));
  EXPECT_EQ(
      Tool({"read", "--offset=100000", "--length=15", Path("overlay.qcow2")})
          .standard_output,
      "a line of text\n");
  EXPECT_EQ(Tool({"create", "-b", "nowhere", "-F", "raw", Path("x")}).exit_code,
            1);
  EXPECT_EQ(
      Tool({"create", "-u", "-b", "nowhere", "-F", "raw", Path("x"), "1M"})
          .exit_code,
      0);
}

TEST_F(ToolTest, SecretsComeFromFilesAndTheEnvironment) {
  WriteFile(Path("secret"), "one word");
  const std::string secret = "--secret-file=" + Path("secret");
  const std::string path = Path("disk.qcow2");
  EXPECT_EQ(Tool({"create", "--encrypt=luks", path, "1M"}).exit_code, 2);
  ASSERT_RUNS(
      Tool({"create", "--encrypt=luks", "--iter-time=10", secret, path, "1M"}));
  ASSERT_RUNS(Tool({"write", secret, "--length=100000", "--pattern=7", path}));
  ASSERT_EQ(setenv("TOOL_TEST_SECRET", "one word", 1), 0);
  EXPECT_EQ(Tool({"read", "--secret-env=TOOL_TEST_SECRET", "--length=3", path})
                .standard_output,
            "\a\a\a");
  ASSERT_EQ(setenv("TOOL_TEST_SECRET", "another", 1), 0);
  EXPECT_EQ(Tool({"read", "--secret-env=TOOL_TEST_SECRET", "--length=3", path})
                .exit_code,
            1);
  EXPECT_EQ(Tool({"read", "--length=3", path}).exit_code, 1);
}

TEST_F(ToolTest, PartitionsAreListedAndCreated) {
  const std::string path = Image();
  EXPECT_EQ(Json::parse(
                Tool({"fdisk", "list", "--output=json", path}).standard_output)
                .at("table"),
            "none");
  ASSERT_RUNS(Tool({"fdisk", "create", "--type=0x0e", "--start=63",
                    "--sectors=3969", "--bootable", path}));
  EXPECT_EQ(Tool({"fdisk", "create", "--start=100", path}).exit_code, 1);
  ASSERT_RUNS(Tool({"fdisk", "create", "--start=8192", path}));
  const Json table = Json::parse(
      Tool({"fdisk", "list", "--output=json", path}).standard_output);
  EXPECT_EQ(table.at("table"), "mbr");
  ASSERT_EQ(table.at("partitions").size(), 2);
  const Json& first = table.at("partitions").at(0);
  EXPECT_EQ(first.at("start"), 63);
  EXPECT_EQ(first.at("sectors"), 3969);
  EXPECT_EQ(first.at("last-chs"),
            (Json{{"cylinder", 3}, {"head", 15}, {"sector", 63}}));
  const std::string text = Tool({"fdisk", "list", path}).standard_output;
  EXPECT_NE(text.find("boot            63          4031"), std::string::npos)
      << text;
  EXPECT_EQ(
      Tool({"read", "--offset=100000", "--length=15", path}).standard_output,
      "a line of text\n");
}

TEST_F(ToolTest, DisksAreConvertedComparedAndResized) {
  const std::string path = Image();
  const std::string raw = Path("disk.raw");
  const std::string small = Path("small.qcow2");
  ASSERT_RUNS(Tool({"convert", "-O", "raw", path, raw}));
  ASSERT_RUNS(
      Tool({"convert", "-c", "-o", "compression_type=zstd", raw, small}));
  EXPECT_EQ(Tool({"compare", path, small}).exit_code, 0);
  EXPECT_EQ(Tool({"compare", "-f", "qcow2", "-F", "raw", small, raw}).exit_code,
            0);
  ExpectClean(small);
  ASSERT_RUNS(
      Tool({"write", "--offset=5M", "--length=1", "--pattern=1", path}));
  const Outcome differ = Tool({"compare", path, raw});
  EXPECT_EQ(differ.exit_code, 1);
  EXPECT_NE(differ.standard_output.find("5242880"), std::string::npos);
  EXPECT_EQ(Tool({"compare", path, Path("nowhere")}).exit_code, 2);
  ASSERT_RUNS(Tool({"resize", path, "+1M"}));
  EXPECT_EQ(Tool({"resize", path, "1M"}).exit_code, 1);
  ASSERT_RUNS(Tool({"resize", "--shrink", path, "1M"}));
  EXPECT_EQ(Json::parse(Tool({"info", "--output=json", path}).standard_output)
                .at("virtual-size"),
            1 << 20);
  ExpectClean(path);
}

TEST_F(ToolTest, SnapshotsAreTakenAppliedAndDeleted) {
  const std::string path = Image();
  const auto list = [&] {
    return Json::parse(
        Tool({"snapshot", "list", "--output=json", path}).standard_output);
  };
  EXPECT_EQ(list().size(), 0);
  ASSERT_RUNS(Tool({"snapshot", "create", path, "before"}));
  ASSERT_RUNS(Tool({"snapshot", "create", "--id=seven", path, "same"}));
  ASSERT_EQ(list().size(), 2);
  EXPECT_EQ(list().at(0).at("id"), "1");
  EXPECT_EQ(list().at(1).at("id"), "seven");
  EXPECT_EQ(Tool({"snapshot", "create", path, "before"}).exit_code, 1);
  ASSERT_RUNS(
      Tool({"write", "--offset=100000", "--length=6", "--pattern=0x42", path}));
  if (HaveQemu()) {
    ASSERT_RUNS(
        QemuImg({"convert", "-l", "before", "-O", "raw", path, Path("raw")}));
    EXPECT_EQ(ReadFile(Path("raw")).substr(100000, 6), "a line");
  }
  ASSERT_RUNS(Tool({"snapshot", "apply", path, "before"}));
  EXPECT_EQ(
      Tool({"read", "--offset=100000", "--length=6", path}).standard_output,
      "a line");
  ASSERT_RUNS(Tool({"snapshot", "delete", path, "1"}));
  ASSERT_RUNS(Tool({"snapshot", "delete", path, "same"}));
  EXPECT_EQ(list().size(), 0);
  EXPECT_EQ(Tool({"snapshot", "delete", path, "same"}).exit_code, 1);
  ExpectClean(path);
}

TEST_F(ToolTest, AnOverlayIsRebasedAndCommitted) {
  const std::string base = Image();
  const std::string other = Path("other.qcow2");
  const std::string top = Path("top.qcow2");
  ASSERT_RUNS(Tool({"create", other, "8M"}));
  ASSERT_RUNS(Tool({"create", "-b", "disk.qcow2", "-F", "qcow2", top}));
  ASSERT_RUNS(Tool({"write", "--length=3", "--pattern=0x42", top}));
  ASSERT_RUNS(Tool({"rebase", "-b", "other.qcow2", "-F", "qcow2", top}));
  EXPECT_EQ(
      Tool({"read", "--offset=100000", "--length=6", top}).standard_output,
      "a line");
  ASSERT_RUNS(Tool({"commit", top}));
  EXPECT_EQ(Tool({"read", "--length=3", other}).standard_output, "BBB");
  EXPECT_EQ(Tool({"compare", top, other}).exit_code, 0);
  ASSERT_RUNS(Tool({"rebase", "-u", top}));
  EXPECT_EQ(Tool({"commit", top}).exit_code, 1);
  ExpectClean(top);
  ExpectClean(other);
}

TEST_F(ToolTest, AnImageIsAmended) {
  const std::string path = Image();
  const auto data = [&] {
    return Json::parse(Tool({"info", "--output=json", path}).standard_output)
        .at("format-specific")
        .at("data");
  };
  ASSERT_RUNS(
      Tool({"amend", "-o", "refcount_bits=64,lazy_refcounts=on", path}));
  EXPECT_EQ(data().at("refcount-bits"), 64);
  EXPECT_EQ(data().at("lazy-refcounts"), true);
  EXPECT_EQ(Tool({"amend", "--compat=0.10", path}).exit_code, 1);
  ASSERT_RUNS(Tool({"amend", "--refcount-bits=16", path}));
  ASSERT_RUNS(Tool({"amend", "--compat=0.10", path}));
  EXPECT_EQ(data().at("compat"), "0.10");
  EXPECT_EQ(Tool({"amend", "-o", "cluster_size=4096", path}).exit_code, 2);
  EXPECT_EQ(
      Tool({"read", "--offset=100000", "--length=6", path}).standard_output,
      "a line");
  ExpectClean(path);
}

TEST_F(ToolTest, ABenchCountsItsRequests) {
  const std::string path = Image();
  const Json read = Json::parse(Tool({"bench", "-c", "100", "-d", "4", "-s",
                                      "64K", "--output=json", path})
                                    .standard_output);
  EXPECT_EQ(read.at("requests"), 100);
  EXPECT_EQ(read.at("bytes"), 65536);
  EXPECT_GT(read.at("iops"), 0);
  ASSERT_RUNS(Tool({"bench", "-w", "-c", "128", "-s", "64K", "--pattern=9",
                    "-d", "3", path}));
  EXPECT_EQ(
      Tool({"read", "--offset=8388607", "--length=1", path}).standard_output,
      "\t");
  EXPECT_EQ(Tool({"bench", "-s", "9M", path}).exit_code, 1);
  ExpectClean(path);
}

TEST_F(ToolTest, ADumpShowsEveryStructure) {
  const std::string path = Image({"--cluster-size=4096"});
  const Json dump =
      Json::parse(Tool({"dump", "--output=json", path}).standard_output);
  std::vector<std::string> kinds;
  for (const Json& structure : dump.at("structures")) {
    EXPECT_FALSE(structure.contains("problems")) << structure;
    kinds.push_back(structure.at("structure"));
  }
  EXPECT_EQ(kinds, (std::vector<std::string>{
                       "header", "extensions-end", "l1-table", "l2-table",
                       "refcount-table", "refcount-block"}));
  const Json& header = dump.at("structures").at(0).at("fields");
  EXPECT_EQ(header.at(0).at("value"), 0x514649fb);
  EXPECT_EQ(header.at(5).at("name"), "size");
  EXPECT_EQ(header.at(5).at("offset"), 24);
  EXPECT_EQ(header.at(5).at("value"), 8 << 20);
  // 100000 lies in cluster 24.
  const Json& l2 = dump.at("structures").at(3).at("entries");
  ASSERT_EQ(l2.size(), 3);
  EXPECT_EQ(l2.at(0).at("count"), 24);
  EXPECT_EQ(l2.at(1).at("index"), 24);
  EXPECT_EQ(l2.at(1).at("type"), "normal");
  EXPECT_EQ(l2.at(1).at("guest_offset"), 98304);
  const uint64_t host = l2.at(1).at("host_offset");
  EXPECT_EQ(ReadFile(path).substr(host + 100000 % 4096, 6), "a line");
  const std::string text = Tool({"dump", "--what=l2", path}).standard_output;
  EXPECT_NE(text.find("[24]"), std::string::npos) << text;
  EXPECT_NE(text.find(", COPIED"), std::string::npos) << text;
}

TEST_F(ToolTest, ADumpOfADamagedImageSaysWhatIsWrong) {
  const std::string path = Image({"--cluster-size=4096"});
  std::string bytes = ReadFile(path);
  bytes[40] = '\x7f';  // the L1 table far behind the end
  bytes[51] = '\x01';
  bytes[79] = '\x40';  // an unknown incompatible feature
  WriteFile(path, bytes);
  const Outcome outcome = Tool({"dump", path});
  EXPECT_EQ(outcome.exit_code, 0);
  for (const char* part :
       {"! incompatible_features: unknown bits", "bit 6 (unknown)",
        "! the table goes past the end of the file"}) {
    EXPECT_NE(outcome.standard_output.find(part), std::string::npos)
        << part << "\n"
        << outcome.standard_output;
  }
  WriteFile(path, bytes.substr(0, 50));
  EXPECT_EQ(Tool({"dump", path}).exit_code, 0);
  WriteFile(path, "no image");
  EXPECT_EQ(Tool({"dump", path}).exit_code, 1);
}

// What both say about images of either maker.
class QemuImgTest : public ToolTest {
 protected:
  void SetUp() override {
    if (!HaveQemu()) GTEST_SKIP() << "no qemu-img";
  }
  void ExpectSame(const std::string& subcommand, const std::string& path) {
    const std::vector<std::string> arguments = {subcommand, "--output=json",
                                                path};
    const Outcome ours = Tool(arguments);
    const Outcome theirs = QemuImg(arguments);
    ASSERT_EQ(ours.exit_code, 0) << ours.standard_error;
    ASSERT_EQ(theirs.exit_code, 0) << theirs.standard_error;
    EXPECT_EQ(Json::parse(ours.standard_output),
              Json::parse(theirs.standard_output))
        << subcommand << " " << path;
  }
  void Io(const std::string& path, const std::string& command) {
    ASSERT_RUNS(RunProgram({"qemu-io", "-c", command, path}));
  }
};

TEST_F(QemuImgTest, InfoSaysTheSame) {
  int number = 0;
  for (const char* options :
       {"compat=0.10", "compat=1.1,lazy_refcounts=on,refcount_bits=1",
        "cluster_size=4096,refcount_bits=64,compression_type=zstd",
        "extended_l2=on", "preallocation=metadata"}) {
    const std::string path = Path("i" + std::to_string(number++));
    ASSERT_RUNS(
        QemuImg({"create", "-q", "-f", "qcow2", "-o", options, path, "3M"}));
    ExpectSame("info", path);
    const std::string own = path + "-own";
    ASSERT_RUNS(Tool({"create", "-o", options, own, "3M"}));
    ExpectSame("info", own);
  }
}

// Each side reads what the other made of the same bitmaps.
TEST_F(QemuImgTest, BitmapsAreTheSame) {
  const std::string path = Image();
  const auto list = [&] {
    const Outcome outcome = Tool({"bitmap", "list", "--output=json", path});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.standard_error;
    return Json::parse(outcome.standard_output);
  };
  EXPECT_EQ(list(), Json::array());
  ASSERT_RUNS(QemuImg({"bitmap", "--add", path, "a"}));
  ASSERT_RUNS(Tool({"bitmap", "add", "-g", "4K", "--disabled", path, "b"}));
  EXPECT_EQ(Tool({"bitmap", "add", path, "a"}).exit_code, 1);
  EXPECT_EQ(Tool({"bitmap", "add", "-g", "5000", path, "c"}).exit_code, 1);
  ASSERT_RUNS(
      Tool({"write", "--offset=70000", "--input=" + Path("line"), path}));
  ExpectSame("info", path);
  ExpectClean(path);
  EXPECT_EQ(list(), Json::parse(R"([
      {"name": "a", "granularity": 65536, "flags": ["auto"],
       "dirty-bytes": 65536},
      {"name": "b", "granularity": 4096, "flags": [], "dirty-bytes": 0}])"));
  ASSERT_RUNS(Tool({"bitmap", "merge", path, "a", "b"}));
  ASSERT_RUNS(Tool({"bitmap", "clear", path, "a"}));
  ASSERT_RUNS(Tool({"bitmap", "disable", path, "a"}));
  ASSERT_RUNS(Tool({"bitmap", "enable", path, "b"}));
  ASSERT_RUNS(Tool({"zero", "--offset=0", "--length=4096", path}));
  const Outcome text = Tool({"bitmap", "list", path});
  EXPECT_EQ(text.standard_output,
            "NAME  GRANULARITY       DIRTY BYTES  FLAGS\n"
            "a           65536                 0  -\n"
            "b            4096             69632  auto\n");
  const std::string other = Path("other.qcow2");
  ASSERT_RUNS(Tool({"create", other, "8M"}));
  ASSERT_RUNS(Tool({"bitmap", "add", other, "sum"}));
  ASSERT_RUNS(
      Tool({"bitmap", "merge", "--source-image=" + path, other, "b", "sum"}));
  EXPECT_NE(Tool({"bitmap", "list", other}).standard_output.find(" 131072 "),
            std::string::npos);
  ExpectClean(other);
  for (const char* name : {"a", "b"}) {
    ASSERT_RUNS(Tool({"bitmap", "remove", path, name}));
  }
  EXPECT_EQ(Tool({"bitmap", "remove", path, "b"}).exit_code, 1);
  EXPECT_EQ(list(), Json::array());
  ExpectSame("info", path);
  ExpectClean(path);
  ASSERT_RUNS(Tool({"create", "-o", "compat=v2", other, "8M"}));
  EXPECT_EQ(Tool({"bitmap", "add", other, "b"}).exit_code, 1);
}

TEST_F(QemuImgTest, InfoSaysTheSameOfAllThatCanBeInAnImage) {
  const std::string path = Path("full.qcow2");
  ASSERT_RUNS(QemuImg({"create", "-q", "-f", "raw", Path("base"), "1M"}));
  ASSERT_RUNS(QemuImg(
      {"create", "-q", "-f", "qcow2", "-b", Path("base"), "-F", "raw", path}));
  ASSERT_RUNS(QemuImg({"snapshot", "-c", "first one", path}));
  ASSERT_RUNS(QemuImg({"snapshot", "-c", "second", path}));
  ASSERT_RUNS(QemuImg({"bitmap", "--add", "-g", "64K", path, "b0"}));
  ASSERT_RUNS(QemuImg({"bitmap", "--add", "--disable", path, "b1"}));
  ExpectSame("info", path);
  ExpectSame("info", Path("base"));
  const Json chain = Json::parse(
      Tool({"info", "--backing-chain", "--output=json", path}).standard_output);
  ASSERT_EQ(chain.size(), 2);
  EXPECT_EQ(chain.at(1).at("format"), "raw");
  ASSERT_RUNS(QemuImg({"create", "-q", "-f", "qcow2", "-o",
                       "data_file=" + Path("data") + ",data_file_raw=on",
                       Path("outside"), "1M"}));
  ExpectSame("info", Path("outside"));
  // Made here: qemu-img's measuring of the processor fails now and then.
  WriteFile(Path("secret"), "x");
  ASSERT_RUNS(Tool({"create", "--encrypt=luks", "--iter-time=10",
                    "--secret-file=" + Path("secret"), Path("luks"), "1M"}));
  ExpectSame("info", Path("luks"));
}

TEST_F(QemuImgTest, MapSaysTheSame) {
  const std::string base = Path("base.qcow2");
  const std::string path = Path("top.qcow2");
  ASSERT_RUNS(QemuImg(
      {"create", "-q", "-f", "qcow2", "-o", "cluster_size=4096", base, "2M"}));
  Io(base, "write 32k 4k");
  Io(base, "write 40k 100k");
  Io(base, "write -z 300k 100k");
  ExpectSame("map", base);
  ASSERT_RUNS(QemuImg(
      {"create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", path, "4M"}));
  Io(path, "write 64k 64k");
  Io(path, "write -zu 1M 64k");
  Io(path, "write 3M 1k");
  ExpectSame("map", path);
  ASSERT_RUNS(QemuImg({"convert", "-c", "-O", "qcow2", path, Path("c")}));
  ExpectSame("map", Path("c"));
  ASSERT_RUNS(QemuImg({"convert", "-O", "raw", path, Path("raw")}));
  ExpectSame("map", Path("raw"));
}

TEST_F(QemuImgTest, TheTextOfAMapNamesFiles) {
  const std::string path = Path("disk.qcow2");
  ASSERT_RUNS(QemuImg({"create", "-q", "-f", "qcow2", path, "4M"}));
  Io(path, "write 64k 200k");
  EXPECT_EQ(Tool({"map", path}).standard_output,
            QemuImg({"map", path}).standard_output);
}

}  // namespace
}  // namespace qcow2
